"""Prune a tuned prompt: each head keeps the virtual tokens that its queries look at most.

Every virtual token costs time in each step and memory in each session, and attention to most of
them is small (docs/experiments.md). Where they have no positions, nothing depends on their order,
so each key/value head of each layer keeps tokens of its own.

Shapes: L layers, G key/value heads, D channels, P virtual tokens, N queries.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from code_model.language_model import TunableModel
from prompts.form import Form

DOCUMENTS = 48  # with 12, one of two packages lost bits (docs/experiments.md)


@torch.no_grad()
def prune(
    model: TunableModel,
    prompt_embeddings: Tensor,
    documents: Iterable[Sequence[int]],
    form: Form,
    count: int,
) -> Tensor:
    """The virtual tokens of `prompt_embeddings` (P, width) that matter most: (`count`, width).

    The first token, the attention sink, stays. The others are ranked by the share of the attention
    that the queries of `documents` (ids), as they are without a prompt, give each of them. Other
    forms than kv-nope, and prompts whose model's engine cannot see its queries, stay as they are.
    """
    if form != "kv-nope" or count >= len(prompt_embeddings):
        return prompt_embeddings
    identity = model.identity
    layers, heads, head_dim = identity.num_layers, identity.num_key_value_heads, identity.head_dim
    by_head = prompt_embeddings.view(-1, layers, 2, heads, head_dim).permute(1, 2, 3, 0, 4)
    shares = torch.zeros(layers, heads, len(prompt_embeddings) - 1)
    for ids in documents:
        queries_of_document = model.queries(ids, prompt_embeddings, form)
        if queries_of_document is None:
            return prompt_embeddings
        for layer, of_layer in enumerate(queries_of_document):
            scores = of_layer.queries @ by_head[layer, 0, :, 1:].mT * head_dim**-0.5
            rest = of_layer.log_sums[..., None]  # of what is seen without a prompt
            shares[layer] += torch.cat((scores, rest), -1).softmax(-1)[..., :-1].mean(1)
    kept = 1 + shares.topk(count - 1).indices.sort().values  # (L, G, count - 1)
    kept = torch.cat((torch.zeros(layers, heads, 1, dtype=torch.long), kept), -1)
    chosen = kept[:, None, :, :, None].expand(-1, 2, -1, -1, head_dim)
    return by_head.gather(3, chosen).permute(3, 0, 1, 2, 4).flatten(1)
