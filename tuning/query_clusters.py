"""Initialise a kv prompt from the code's queries: one virtual token for each cluster of them.

In a prompt that starts as real code, some heads have few queries near the keys: those virtual
tokens learn almost nothing, while others take half of the attention. Here each virtual token of a
head stands for one cluster of the queries that the training code makes there. Its key points at the
cluster's centre. The key's length, and a shift along the direction that a head's queries have in
common, give all virtual tokens together a fixed share of the attention. Its value is the mean
attention output of these queries without a prompt, so that little changes before the first step.
The gain is in docs/experiments.md.

Shapes: L layers, G key/value heads, D channels, P virtual tokens, N queries.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from code_model.language_model import HeadQueries, TunableModel
from prompts.form import Form

DOCUMENTS = 48
MASS = 0.1  # mean share of a head's attention that the virtual tokens get together
ROUNDS = 12  # of Lloyd's algorithm
SAMPLE = 4096  # queries to measure the mass by
BISECTIONS = 30
REACH = 2.0  # bound of the searched shifts, in multiples of the largest log sum
RIDGE = 0.01  # of the queries' mean square
LEAST = 1.0  # log weight; a key of length zero would have no scale to learn by


@torch.no_grad()
def clustered(
    model: TunableModel,
    text: Tensor,
    documents: Sequence[Sequence[int]],
    form: Form,
    seed: int,
    progress: Callable[[float], None],
) -> Tensor | None:
    """Prompt embeddings (P, width) around the queries of `documents` (ids), in a kv form.

    None if the model's engine cannot see its queries.

    `text` (P, width) stands for real code. Its first token stays, as the attention sink. In the
    form kv, keys match rotated queries and the first layer stays too: after rotation, the queries
    of single tokens have no clusters. In kv-nope, keys match queries before rotation. `progress` is
    called with the share done (0 to 1).
    """
    identity = model.identity
    heads = identity.num_key_value_heads
    clusters = text.clone()
    by_layer = clusters.view(len(text), identity.num_layers, 2, heads, identity.head_dim)
    generator = torch.Generator().manual_seed(seed)
    queries_of = list[list[HeadQueries]]()
    for ids in documents:
        queries_of_document = model.queries(ids, text, form)
        if queries_of_document is None:
            return None
        queries_of.append(queries_of_document)
        progress(len(queries_of) / len(documents) / 2)
    for layer in range(int(form == "kv"), identity.num_layers):
        of_layer = [queries[layer] for queries in queries_of]
        queries = torch.cat([of_document.queries for of_document in of_layer], dim=1)
        outputs = torch.cat([of_document.outputs for of_document in of_layer], dim=1)
        log_sums = torch.cat([of_document.log_sums for of_document in of_layer], dim=1)
        for head in range(heads):
            keys, values = _virtual_tokens(
                queries[head], outputs[head], log_sums[head], len(text) - 1, generator
            )
            by_layer[1:, layer, 0, head], by_layer[1:, layer, 1, head] = keys, values
        progress(0.5 + (layer + 1) / identity.num_layers / 2)
    return clusters


def _virtual_tokens(
    queries: Tensor, outputs: Tensor, log_sums: Tensor, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Keys and values (count, D) of one head, from queries and outputs (N, D), log sums (N)."""
    drawn = torch.randperm(len(queries), generator=generator)
    centres = queries[drawn[torch.arange(count) % len(drawn)]]
    for _ in range(ROUNDS):
        centres = _cluster_means(queries, torch.cdist(queries, centres).argmin(1), centres)
    nearest = torch.cdist(queries, centres).argmin(1)
    values = _cluster_means(outputs, nearest, outputs.mean(0).expand(count, -1))
    level = _cluster_means(log_sums[:, None], nearest, log_sums.mean().expand(count, 1))
    size = centres.shape[1] ** 0.5  # attention divides products by it
    unit = centres / centres.square().sum(1, keepdim=True).clamp_min(1e-6) * size
    common = _common_direction(queries) * size

    def keys(shift: Tensor) -> Tensor:
        """A key of unit · w has the log weight w for its cluster's centre; a negative shift makes
        it both shorter and less similar to all queries."""
        shifted: Tensor = unit * (level + shift).clamp_min(LEAST) + shift * common
        return shifted

    sample = torch.arange(0, len(queries), max(1, len(queries) // SAMPLE))
    low, high = -REACH * log_sums.abs().max(), REACH * log_sums.abs().max()
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        own = (queries[sample] @ keys(middle).T / size).logsumexp(1)
        if torch.sigmoid(own - log_sums[sample]).mean() > MASS:
            high = middle
        else:
            low = middle
    return keys(low), values


def _common_direction(queries: Tensor) -> Tensor:
    """The vector (D) whose products with queries (N, D) are nearest to 1, by ridge regression.

    It is short where the queries have no direction in common.
    """
    products = queries.T @ queries / len(queries)
    ridge = RIDGE * products.diagonal().mean() * torch.eye(len(products))
    direction: Tensor = torch.linalg.solve(products + ridge, queries.mean(0))
    return direction


def _cluster_means(rows: Tensor, cluster: Tensor, fallback: Tensor) -> Tensor:
    """The mean of each cluster's rows; for an empty one the row of `fallback`."""
    sizes = torch.bincount(cluster, minlength=len(fallback))[:, None]
    sums = torch.zeros_like(fallback).index_add_(0, cluster, rows)
    return torch.where(sizes > 0, sums / sizes.clamp_min(1), fallback)
