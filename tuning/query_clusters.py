"""A kv prompt that starts where the code looks: each virtual token at a cluster of queries.

Behind real code a query finds little that is near it in some heads, so that their virtual tokens
learn next to nothing, while others spend half of their attention on it. Here each virtual token of
a head stands for a cluster of the queries that the code to tune on asks there. Its key points at
the cluster's centre. How long it is, and how far it is moved along what a head's queries have in
common, leaves all virtual tokens together a share of the attention. Its value is what attention
without a prompt gives these queries in the mean, so that little changes before the first step.
docs/experiments.md has what that gains.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from code_model.decoder.llama import Attention, Llama, lower_right_mask, unrotate

DOCUMENTS = 48
POSITIONS = 128  # of each document, evenly spaced
MASS = 0.1  # share of a head's attention that the virtual tokens get together, in the mean
ROUNDS = 12  # of Lloyd's algorithm
SAMPLE = 4096  # queries to measure the mass by
BISECTIONS = 30
REACH = 2.0  # times the largest level: the shifts that are searched
RIDGE = 0.01  # of the queries' mean square
LEAST = 1.0  # of log weight: a key of length zero would have no scale to move by


@torch.no_grad()
def clustered(
    model: Llama,
    text: Tensor,
    documents: Sequence[Sequence[int]],
    seed: int,
    progress: Callable[[float], None],
    *,
    positions: bool = False,
) -> Tensor:
    """Keys and values (L, 2, G, P, D) around the queries of `documents`, lists of ids.

    `text` is a prefix of that shape made of real code. Its first token stays, as the attention
    sink. With `positions`, the keys are for rotated queries and the first layer stays, too: once
    rotated, what one token alone asks is alike to everything. Without, they are for queries before
    that (`PrefixKV`). `progress` hears the share done.
    """
    virtual = text.shape[3]
    found = text.clone()
    generator = torch.Generator().manual_seed(seed)
    asked = []
    for ids in documents:
        asked.append(_asked(model, text, ids, positions))
        progress(len(asked) / len(documents) / 2)
    for layer in range(int(positions), len(text)):
        queries, answers, levels = (
            torch.cat(parts, dim=1) for parts in zip(*[of[layer] for of in asked], strict=True)
        )
        for head in range(text.shape[2]):
            keys, values = _tokens(
                queries[head], answers[head], levels[head], virtual - 1, generator
            )
            found[layer, 0, head, 1:], found[layer, 1, head, 1:] = keys, values
        progress(0.5 + (layer + 1) / len(text) / 2)
    return found


def _asked(
    model: Llama, text: Tensor, ids: Sequence[int], positions: bool
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """For each layer what a document asks behind the first token alone, by key/value head: queries
    (G, N, D), what attention gives them (G, N, D), the log of their summed weights (G, N)."""
    places = torch.arange(len(ids)) + (text.shape[3] if positions else 1)
    cos, sin = model.cos[places], model.sin[places]
    mask = lower_right_mask(len(ids), 1, torch.device("cpu"))
    x = model.model.embed_tokens(torch.tensor(ids))[None]
    asked: list[tuple[Tensor, Tensor, Tensor]] = []

    def attend(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        sink = text[len(asked), :, :, :1]
        k, v = torch.cat((sink[0], k[0]), dim=1), torch.cat((sink[1], v[0]), dim=1)
        heads = q[0].reshape(attention.kv_heads, -1, *q.shape[2:])
        weights = (heads @ k[:, None].transpose(-1, -2)) * attention.head_dim**-0.5
        weights = weights.masked_fill(~mask, -torch.inf)
        answers = weights.softmax(-1) @ v[:, None]
        some = torch.linspace(0, len(ids) - 1, min(POSITIONS, len(ids))).long()
        levels = weights[:, :, some].logsumexp(-1)
        if not positions:
            heads = unrotate(heads, cos, sin)
        asked.append((*(x[:, :, some].flatten(1, 2) for x in (heads, answers)), levels.flatten(1)))
        projected: Tensor = attention.o_proj(answers.flatten(0, 1).transpose(0, 1).flatten(1)[None])
        return projected

    for layer in model.blocks:
        x = layer(x, cos, sin, attend)
    return asked


def _tokens(
    queries: Tensor, answers: Tensor, levels: Tensor, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Keys and values (count, D) of one head."""
    drawn = torch.randperm(len(queries), generator=generator)
    centres = queries[drawn[torch.arange(count) % len(drawn)]]
    for _ in range(ROUNDS):
        centres = _means(queries, torch.cdist(queries, centres).argmin(1), centres)
    nearest = torch.cdist(queries, centres).argmin(1)
    values = _means(answers, nearest, answers.mean(0).expand(count, -1))
    level = _means(levels[:, None], nearest, levels.mean().expand(count, 1))
    size = centres.shape[1] ** 0.5  # what products are divided by in attention
    unit = centres / centres.square().sum(1, keepdim=True).clamp_min(1e-6) * size
    alike = _alike_to_all(queries) * size

    def keys(shift: Tensor) -> Tensor:
        """A key of unit · w has the log weight w for its cluster's centre; a negative shift makes
        it both shorter and less alike to all queries."""
        found: Tensor = unit * (level + shift).clamp_min(LEAST) + shift * alike
        return found

    sample = torch.arange(0, len(queries), max(1, len(queries) // SAMPLE))
    low, high = -REACH * levels.abs().max(), REACH * levels.abs().max()
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        own = (queries[sample] @ keys(middle).T / size).logsumexp(1)
        if torch.sigmoid(own - levels[sample]).mean() > MASS:
            high = middle
        else:
            low = middle
    return keys(low), values


def _alike_to_all(queries: Tensor) -> Tensor:
    """The vector (D) whose products with queries (N, D) are nearest to 1, by ridge regression; a
    short one where they have no direction in common."""
    products = queries.T @ queries / len(queries)
    ridge = RIDGE * products.diagonal().mean() * torch.eye(len(products))
    found: Tensor = torch.linalg.solve(products + ridge, queries.mean(0))
    return found


def _means(rows: Tensor, cluster: Tensor, otherwise: Tensor) -> Tensor:
    """The mean of each cluster's rows; of an empty one the row of `otherwise`."""
    sizes = torch.bincount(cluster, minlength=len(otherwise))[:, None]
    sums = torch.zeros_like(otherwise).index_add_(0, cluster, rows)
    return torch.where(sizes > 0, sums / sizes.clamp_min(1), otherwise)
