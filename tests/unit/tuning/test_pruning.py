"""Pruning: each head keeps the virtual tokens that its queries look at most."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from code_model.decoder.model import DecoderModel
from prompts.form import Form
from tuning.config import TuningConfig
from tuning.corpus import collect
from tuning.job import new_job
from tuning.pruning import prune

VIRTUAL = 12


@pytest.fixture(scope="module")
def documents(base: DecoderModel) -> list[list[int]]:
    generator = torch.Generator().manual_seed(3)
    size = base.llama.config.vocab_size
    return [torch.randint(size, (40,), generator=generator).tolist() for _ in range(4)]


@pytest.fixture(scope="module")
def embeddings(base: DecoderModel) -> Tensor:
    return base.prompt_embeddings_of(list(range(5, 5 + VIRTUAL)), "kv")


def by_head(base: DecoderModel, embeddings: Tensor) -> Tensor:
    """(P, L, 2, G, D)"""
    identity = base.identity
    heads = identity.num_key_value_heads
    return embeddings.view(-1, identity.num_layers, 2, heads, identity.head_dim)


def test_each_head_drops_what_its_queries_do_not_look_at(
    base: DecoderModel, embeddings: Tensor
) -> None:
    ids = [7, 31, 12, 44]  # no more queries of a head than it has channels
    unseen = by_head(base, embeddings.clone())
    expected: dict[tuple[int, int], list[int]] = {}
    for layer, of_layer in enumerate(base.queries(ids, embeddings, "kv-nope")):
        for head, queries in enumerate(of_layer.queries):
            away = -torch.linalg.pinv(queries) @ torch.ones(len(queries))
            assert (queries @ away < -0.9).all()
            dropped = [2 + (layer + head + 2 * n) % (VIRTUAL - 2) for n in range(5)]
            unseen[dropped, layer, 0, head] = 1e3 * away
            expected[layer, head] = [n for n in range(VIRTUAL) if n not in dropped]
    kept = by_head(base, prune(base, unseen.flatten(1), [ids], "kv-nope", VIRTUAL - 5))
    assert len(set(map(tuple, expected.values()))) > 1
    for (layer, head), tokens in expected.items():
        assert kept[:, layer, :, head].equal(unseen[tokens, layer, :, head])


def test_the_sink_stays_first(
    base: DecoderModel, embeddings: Tensor, documents: list[list[int]]
) -> None:
    for count in (1, 2, VIRTUAL - 1):
        pruned = prune(base, embeddings, documents, "kv-nope", count)
        assert pruned.shape == (count, embeddings.shape[1])
        assert pruned[0].equal(embeddings[0])
        assert pruned.is_contiguous()


@pytest.mark.parametrize("form", ["kv", "embedding"])
def test_a_prompt_whose_order_matters_stays_whole(
    base: DecoderModel, embeddings: Tensor, documents: list[list[int]], form: Form
) -> None:
    assert prune(base, embeddings, documents, form, 4).equal(embeddings)


def test_a_prompt_that_is_small_enough_stays_whole(
    base: DecoderModel, embeddings: Tensor, documents: list[list[int]]
) -> None:
    assert prune(base, embeddings, documents, "kv-nope", VIRTUAL).equal(embeddings)


def test_where_queries_are_not_seen_the_prompt_stays_whole(
    base: DecoderModel,
    embeddings: Tensor,
    documents: list[list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(DecoderModel, "queries", lambda *arguments: None)
    assert prune(base, embeddings, documents, "kv-nope", 4).equal(embeddings)


def test_the_share_of_the_recipe_is_kept(base: DecoderModel, repository: Path) -> None:
    config = TuningConfig(num_virtual_tokens=16, keep_ratio=0.25, max_tokens=96)
    job = new_job(base, collect(repository), config)
    embeddings = base.prompt_embeddings_of(list(range(5, 21)), "kv-nope")
    assert len(job.pruned(embeddings)) == 4
