"""Quantised weights: what rounding loses, and that torch and the compiled step read them alike."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from code_model.block_quantisation import SCHEMES, Scheme, rounded
from code_model.decoder import compiler
from code_model.decoder.forward import BestForward, TorchForward
from code_model.decoder.instruction_sets import BASELINE
from code_model.decoder.kv_cache import KVCache, PrefixKV
from code_model.decoder.library import Library
from code_model.decoder.llama import Llama
from code_model.decoder.model import DecoderModel
from code_model.decoder.native import NativeForward
from code_model.decoder.precision import dense, in_bfloat16
from code_model.decoder.quantised import Quantised, QuantisedEmbedding, dense_state
from code_model.fim_templates import LEFT_TO_RIGHT
from code_model.language_model import ModelLoadError, Runtime, ScoredIds
from code_model.loading import load_model
from code_model.model_choice import ModelChoice
from tests.unit.code_model.decoder.random_llama import IDS, random_model

needs_compiler = pytest.mark.skipif(compiler.find_compiler() is None, reason="no C++ compiler")
STEPS = {"int8": 0.55 / 127, "int4": 1.02 / 8}
"""What a number may be wrong by, of the largest in its block. In int4 the largest number of the
other sign may be cut by a whole step; scales in float16 are exact to half a thousandth."""


def quantised(model: Llama, scheme: Scheme) -> Llama:
    """The same model, its matrices rounded in place."""
    for name, weight in dict(model.named_parameters()).items():
        if weight.ndim == 2:
            model.quantise(name, weight.detach(), scheme)
    return model.requires_grad_(False)


def floats_in(model: nn.Module) -> int:
    """Bytes of the matrices that are kept as floats."""
    return sum(tensor.nbytes for tensor in model.parameters() if tensor.ndim == 2)


@given(
    rows=st.integers(1, 130),
    width=st.integers(1, 97),
    size=st.floats(1e-3, 1e3),
    seed=st.integers(0, 99),
    scheme=st.sampled_from(SCHEMES),
)
def test_a_number_is_at_most_a_step_from_its_weight(rows, width, size, seed, scheme) -> None:
    weight = size * torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    matrix = QuantisedEmbedding(rounded(weight, scheme))
    assert matrix.shape == weight.shape
    error, blocks = (
        F.pad(tensor.abs(), (0, -width % 32)).view(rows, -1, 32)
        for tensor in (matrix.weight - weight, weight)
    )
    smallest = 127 * 2**-25  # of a scale in float16, half
    assert bool((error <= blocks.amax(-1, keepdim=True) * STEPS[scheme] + smallest).all())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_zeros_and_whole_numbers_stay_what_they_are(scheme: Scheme) -> None:
    weight = (torch.arange(64 * 32).view(64, 32) % 15 - 7).float()
    weight[3] = 0.0
    assert QuantisedEmbedding(rounded(weight, "int4")).weight.equal(weight)
    assert not QuantisedEmbedding(rounded(torch.zeros(2, 40), scheme)).weight.any()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_rows_products_and_gradients_are_those_of_the_floats(scheme: Scheme) -> None:
    generator = torch.Generator().manual_seed(0)
    full = torch.randn(4200, 40, generator=generator)
    matrix = QuantisedEmbedding(rounded(full, scheme))  # three parts
    weight = matrix.weight
    ids = torch.tensor([[0, 63, 64], [4199, 2048, 2047]])
    assert matrix(ids).equal(weight[ids])
    x = torch.randn(2, 5, 40, generator=generator, requires_grad=True)
    other = x.detach().clone().requires_grad_()
    product, expected = matrix.project(x), other @ weight.T
    torch.testing.assert_close(product, expected)
    product.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(x.grad, other.grad, atol=1e-2, rtol=1e-4)


def check_against_torch(library: Path, scheme: Scheme) -> None:
    """Steps of several sizes, behind virtual tokens too, are those of the rounded weights."""
    torch.manual_seed(0)
    for heads, kv_heads, bias, tied in ((4, 4, False, True), (4, 2, True, False)):
        full = random_model(heads=heads, kv_heads=kv_heads, bias=bias, tied=tied, bf16=False)
        for parameter in full.parameters():  # else attention is sharp and multiplies errors
            parameter.div_(6.0 if parameter.ndim == 1 else 1.0)
        model = quantised(full, scheme)
        forwards = (TorchForward(dense(model)), NativeForward(model, library))
        caches = [KVCache(model.config, 60) for _ in forwards]
        kv = torch.randn(2, 2, kv_heads, 19, 18, generator=torch.Generator().manual_seed(0))
        for cache in caches:
            cache.load_prefix(PrefixKV(kv, positions=False))
        for start, size, scored in ((0, 9, 0), (9, 1, 1), (10, 7, 7), (17, 6, 2)):
            (expected, logprobs), (chosen, own) = (
                forward.step(IDS[start : start + size], cache, scored)
                for forward, cache in zip(forwards, caches, strict=True)
            )
            assert chosen == expected
            assert own == pytest.approx(logprobs, abs=5e-2)
        for reference, actual in zip(
            (caches[0].keys, caches[0].values), (caches[1].keys, caches[1].values), strict=True
        ):
            for layer in (0, 1):
                expected, error = reference[layer, :, :42].float(), actual[layer, :, :42].float()
                error -= expected
                assert error.norm() < (5e-4, 5e-3)[layer] * expected.norm()


@needs_compiler
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_compiled_step_equals_torch_on_the_rounded_weights(library, scheme) -> None:
    check_against_torch(library, scheme)


@needs_compiler
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_same_bits_however_ids_are_divided(library, scheme, threads) -> None:
    """What makes drafts exact, and a long prefill equal to a short one."""
    model = random_model(heads=4, kv_heads=2, bias=False, tied=True, bf16=False)
    forward = NativeForward(quantised(model, scheme), library, threads)
    whole, single = (KVCache(model.config, 64) for _ in range(2))
    expected = forward.step(IDS, whole, len(IDS))
    one_by_one = [forward.step([token], single, 1) for token in IDS]
    assert ([c for (c,), _ in one_by_one], [p for _, (p,) in one_by_one]) == expected
    assert torch.equal(whole.keys[:, :, : len(IDS)], single.keys[:, :, : len(IDS)])


@needs_compiler
@pytest.mark.parametrize("allowed", [[2, 77, 300], [64]])
def test_only_allowed_ids_are_considered(library, allowed: list[int]) -> None:
    """As token healing asks; one tile of 64 ids or all but one may have none of them."""
    model = quantised(random_model(heads=4, kv_heads=4, bias=False, tied=True, bf16=True), "int8")
    (chosen, own), (expected, logprobs) = (
        forward.step(IDS[:6], KVCache(model.config, 20), 2, None, allowed)
        for forward in (NativeForward(model, library), TorchForward(dense(model)))
    )
    assert chosen == expected
    assert set(chosen) <= set(allowed)
    assert own == pytest.approx(logprobs, abs=5e-3)


@needs_compiler
def test_the_compiled_step_reads_the_only_copy(library, tiny_model: Path) -> None:
    """Long prefills too, so no weight is ever kept as a float."""
    model = load_model(ModelChoice(tiny_model, quantisation="int8"))
    assert isinstance(model, DecoderModel)
    assert model.forward.native is not None
    matrices = [m for m in model.llama.modules() if isinstance(m, Quantised)]
    kept = {tensor.data_ptr() for tensor in model.forward.native._kept}
    assert kept == {matrix.packed.data_ptr() for matrix in matrices}
    assert floats_in(model.llama) == 0
    assert model.forward._torch is None
    assert model.open().generate([7, 3, 250] * 30, max_new_tokens=3).prefilled == 90


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_model_is_loaded_quantised(tiny_model: Path, scheme: Scheme) -> None:
    full, small = (load_model(ModelChoice(tiny_model, quantisation=q)) for q in (None, scheme))
    assert isinstance(full, DecoderModel)
    assert isinstance(small, DecoderModel)
    assert small.runtime == Runtime("decoder", "float32", scheme)
    assert full.runtime == Runtime("decoder", "float32")
    assert small.num_parameters == full.num_parameters
    assert small.model_fingerprint == full.model_fingerprint, "of the files"
    assert small.llama.model.embed_tokens.scheme == "int8"  # type: ignore[attr-defined]
    scored = [ScoredIds([5, 9, 30, 31, 32, 7], 5)]
    nats = [torch.tensor(model.open().score(scored)[0]) for model in (full, small)]
    change = (nats[1] - nats[0]).abs().mean() / nats[0].mean()
    assert 0 < change < (0.02 if scheme == "int8" else 0.2)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_model_without_a_beginning_token_completes(tiny_model: Path, scheme: Scheme) -> None:
    model = load_model(ModelChoice(tiny_model, quantisation=scheme, layout=LEFT_TO_RIGHT))
    session = model.open()
    assert session.num_virtual_tokens == 0
    assert session.generate([5, 9, 30], max_new_tokens=3).prefilled == 3


def test_an_unknown_quantisation_is_refused(tiny_model: Path) -> None:
    with pytest.raises(ModelLoadError, match="no quantisation 'int3'; choose one of int8, int4"):
        load_model(ModelChoice(tiny_model, engine="decoder", quantisation="int3"))


def test_a_prompt_is_tuned_in_front_of_rounded_weights(base: DecoderModel) -> None:
    """Loss and gradient are those of the rounded weights as floats, which stay as they are."""
    small = replace(base, llama=quantised(dense(base.llama), "int8"))
    full = replace(base, llama=dense(small.llama))
    before = small.weights_hash()
    ids = [5, 9, 30, 31, 32, 7]
    gradients = []
    for model in (small, full):
        rows = model.prompt_embeddings_of(ids[:4], "kv-nope").requires_grad_()
        loss = model.loss(model.prefix_of(rows, "kv-nope"), [ids], [[1.0] * 5])
        gradients.append(torch.autograd.grad(loss, rows)[0])
    torch.testing.assert_close(*gradients)
    assert gradients[0].any()
    assert small.weights_hash() == before
    low, expected = (in_bfloat16(model.llama).state_dict() for model in (small, full))
    assert all(low[name].equal(expected[name]) for name in expected)
    assert small.with_weights(dense_state(base.llama)).weights_hash() == before


def test_tuning_makes_floats_of_rounded_weights_once(
    base: DecoderModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same numbers, so the same bytes, also where there is no memory for the floats."""
    small = replace(base, llama=quantised(dense(base.llama), "int8"))
    copies = [small.for_gradients(bfloat16=False)]
    monkeypatch.setattr("code_model.decoder.model.free_bytes", lambda: 0)
    copies.append(small.for_gradients(bfloat16=False))
    assert [copy.llama.quantisation for copy in copies] == [None, "int8"]
    prefix, ids = small.bare_prefix(), [ScoredIds([5, 9, 30, 31, 32, 7], 5)]
    assert copies[0].score(prefix, ids) == copies[1].score(prefix, ids)
    assert base.for_gradients(bfloat16=False) is base
    assert small.for_gradients(bfloat16=True).llama.dtype == torch.bfloat16


@needs_compiler
def test_until_it_is_compiled_torch_computes_the_same(library, base, monkeypatch) -> None:
    """Then the floats that torch has made of the weights are dropped."""
    monkeypatch.setattr("code_model.decoder.forward.find_library", lambda: None)
    made = Library(library, BASELINE, shipped=False)
    monkeypatch.setattr("code_model.decoder.forward.compile_library", lambda exiting: made)
    forward = BestForward(quantised(dense(base.llama), "int4"))
    before = forward.step(IDS[:9], KVCache(base.llama.config, 20), 4)
    assert forward._torch is not None
    forward._compile(threading.Event())
    assert forward._torch is None
    chosen, logprobs = forward.step(IDS[:9], KVCache(base.llama.config, 20), 4)
    assert chosen == before[0]
    assert logprobs == pytest.approx(before[1], abs=5e-3)
