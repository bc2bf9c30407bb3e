"""Equalities that every speed-up must keep: reference, cache, prompt forms, frozen weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from code_model.decoder.forward import TorchForward
from code_model.decoder.kv_cache import KVCache, PrefixKV
from code_model.decoder.llama import rotate, unrotate
from code_model.decoder.model import DecoderModel
from code_model.decoder.soft_prompt import kv_of_ids, kv_to_rows, prefix_kv, rows_to_kv
from code_model.language_model import ScoredIds
from prompts.errors import IncompatiblePrompt
from prompts.file import PromptFile
from prompts.manifest import Manifest

IDS = [7, 3, 250, 14, 9, 9, 31, 102, 55, 4, 19, 77]


def prompt_of(base: DecoderModel, form: str, rows: Tensor) -> PromptFile:
    manifest = Manifest(
        name="test",
        form=form,  # type: ignore[arg-type]
        num_virtual_tokens=len(rows),
        model=base.identity,
        languages=("python",),
        repository="repository",
        attune_version="0",
    )
    return PromptFile(manifest, rows.contiguous().numpy().astype(np.float32))


@torch.no_grad()
def logits(base: DecoderModel, ids: list[int], prefix: PrefixKV | None = None) -> Tensor:
    return base.llama.logits(base.llama(torch.tensor([ids]), prefix))[0]


@torch.no_grad()
def test_forward_equals_transformers(base: DecoderModel, tiny_model: Path) -> None:
    from transformers import LlamaForCausalLM

    reference = LlamaForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    expected = reference(torch.tensor([IDS])).logits[0]
    torch.testing.assert_close(logits(base, IDS), expected, atol=2e-4, rtol=1e-4)


@torch.no_grad()
def test_prefix_equals_transformers_cache(base: DecoderModel, tiny_model: Path) -> None:
    """A prefix of real KV is what transformers keeps of the same tokens."""
    from transformers import DynamicCache, LlamaForCausalLM

    reference = LlamaForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    cache = DynamicCache()
    reference(torch.tensor([IDS[:5]]), past_key_values=cache)
    kv = kv_of_ids(base.llama, IDS[:5])
    for layer, kept in enumerate(cache.layers):
        torch.testing.assert_close(kv[layer, 0], kept.keys[0], atol=2e-4, rtol=1e-4)
        torch.testing.assert_close(kv[layer, 1], kept.values[0], atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("form", ["kv", "embedding"])
def test_a_prompt_of_real_tokens_equals_those_tokens(base: DecoderModel, form: str) -> None:
    virtual, rest = IDS[:5], IDS[5:]
    if form == "kv":
        rows = kv_to_rows(kv_of_ids(base.llama, virtual))
    else:
        rows = base.llama.model.embed_tokens(torch.tensor(virtual))
    prefix = prefix_kv(base, prompt_of(base, form, rows))
    torch.testing.assert_close(
        logits(base, rest, prefix), logits(base, IDS)[5:], atol=2e-4, rtol=1e-4
    )


@torch.no_grad()
@given(st.integers(1, 6), st.lists(st.integers(1, 12), min_size=1, max_size=3), st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_virtual_tokens_without_positions_serve_as_they_are_tuned(
    base: DecoderModel, virtual: int, cuts: list[int], seed: int
) -> None:
    """Cached or at once; and to a virtual token all places of a file are alike."""
    generator = torch.Generator().manual_seed(seed)
    kv = kv_of_ids(base.llama, IDS[:virtual])
    kv[..., 1:, :] += torch.randn(kv[..., 1:, :].shape, generator=generator)
    prefix = PrefixKV(kv, positions=False)
    cache = KVCache(base.llama.config, 64, torch.float32)
    cache.load_prefix(prefix)
    ids = torch.randint(5, 300, (sum(cuts),), generator=generator)
    pieces = [
        base.llama.logits(
            TorchForward(base.llama).hidden(base.llama.model.embed_tokens(part), cache)
        )
        for part in torch.split(ids, cuts)
    ]
    expected = logits(base, ids.tolist(), prefix)
    torch.testing.assert_close(torch.cat(pieces), expected, atol=2e-4, rtol=1e-4)


@torch.no_grad()
def test_without_positions_all_places_of_a_file_are_alike(base: DecoderModel) -> None:
    attention = base.llama.blocks[0].self_attn
    size = attention.head_dim
    kv = torch.randn(2, attention.kv_heads, 4, size)
    kv[0, :, 0] = 0.0  # of the first token, the sink, alone the position counts
    q, k = (torch.randn(1, heads, 1, size) for heads in (attention.heads, attention.kv_heads))

    def answer(place: int, positions: bool) -> Tensor:
        turn = base.llama.cos[place : place + 1], base.llama.sin[place : place + 1]
        turned = rotate(q, *turn)
        unrotated = None if positions else unrotate(turned, *turn)
        return attention.attend_behind(kv, turned, rotate(k, *turn), torch.ones_like(k), unrotated)

    torch.testing.assert_close(answer(4, False), answer(30, False))
    assert not torch.allclose(answer(4, True), answer(30, True), atol=1e-3)


def test_rows_and_kv_are_inverse(base: DecoderModel) -> None:
    kv = kv_of_ids(base.llama, IDS)
    assert torch.equal(rows_to_kv(kv_to_rows(kv), base.llama.config), kv)


@torch.no_grad()
@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(0, 400))
@settings(deadline=None, max_examples=25)
def test_cached_forward_equals_one_forward(base: DecoderModel, cuts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = [int(id_) for id_ in rng.integers(5, 300, size=sum(cuts))]
    cache = KVCache(base.llama.config, 64, torch.float32)
    forward = TorchForward(base.llama)
    pieces, start = [], 0
    for size in cuts:
        embedded = base.llama.model.embed_tokens.weight[ids[start : start + size]]
        pieces.append(base.llama.logits(forward.hidden(embedded, cache)))
        start += size
    torch.testing.assert_close(torch.cat(pieces), logits(base, ids), atol=2e-4, rtol=1e-4)


@given(
    st.lists(st.lists(st.sampled_from([7, 9, 31]), min_size=1, max_size=9), min_size=2, max_size=5)
)
@settings(deadline=None, max_examples=25)
def test_reused_kv_gives_the_same_completion(base: DecoderModel, requests: list[list[int]]) -> None:
    """Whatever was asked before, an answer is that of a fresh engine.

    Torch rounds a token differently beside others, so of two ids that are equally likely either one
    may be chosen; what follows them is not compared.
    """
    engine = base.open()
    for ids in requests:
        kept = engine.generate(ids, max_new_tokens=6)
        fresh = base.open().generate(ids, max_new_tokens=6)
        pairs = enumerate(zip(kept.ids, fresh.ids, strict=True))
        compared = next((n + 1 for n, (left, right) in pairs if left != right), len(fresh.ids))
        assert kept.logprobs[:compared] == pytest.approx(fresh.logprobs[:compared], abs=5e-3)
        [nats] = base.open().score([ScoredIds([*ids, *kept.ids], len(kept.ids))])
        assert kept.logprobs == pytest.approx([-value for value in nats], abs=0.1)  # float16 KV


def test_serving_leaves_the_weights_alone(base: DecoderModel) -> None:
    before = base.weights_hash()
    base.open().generate(IDS, max_new_tokens=8)
    assert base.weights_hash() == before
    assert not any(parameter.requires_grad for parameter in base.llama.parameters())


def test_a_prompt_of_another_model_is_refused(base: DecoderModel) -> None:
    from dataclasses import replace

    right = prompt_of(base, "kv", kv_to_rows(kv_of_ids(base.llama, IDS)))
    other = replace(right.manifest.model, model_fingerprint="0" * 64)
    wrong = PromptFile(replace(right.manifest, model=other), right.embeddings)
    with pytest.raises(IncompatiblePrompt, match="tune again"):
        prefix_kv(base, wrong)


def test_a_prompt_that_leaves_no_room_is_refused(base: DecoderModel) -> None:
    rows = kv_to_rows(kv_of_ids(base.llama, IDS * 30))
    with pytest.raises(IncompatiblePrompt, match="leaves too few for code"):
        prefix_kv(base, prompt_of(base, "kv", rows))
