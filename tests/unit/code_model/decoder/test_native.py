"""The compiled step against torch, with weights in float32 and in bfloat16."""

import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
import torch

from code_model.cancel import Cancel, StepCancelledError
from code_model.decoder import compiler, native
from code_model.decoder.forward import BestForward, TorchForward
from code_model.decoder.instruction_sets import BASELINE
from code_model.decoder.kv_cache import KVCache, PrefixKV
from code_model.decoder.library import Library
from tests.unit.code_model.decoder.random_llama import IDS, random_model

pytestmark = pytest.mark.skipif(compiler.find_compiler() is None, reason="no C++ compiler")


@pytest.mark.parametrize("bf16", [True, False], ids=["bfloat16", "float32"])
@pytest.mark.parametrize(
    ("heads", "kv_heads", "bias", "tied"), [(4, 4, False, True), (4, 2, True, False)]
)
@pytest.mark.parametrize("virtual", [0, 19], ids=["alone", "behind virtual tokens"])
def test_native_equals_torch(library, virtual, heads, kv_heads, bias, tied, bf16) -> None:
    check_floats(library, virtual, heads=heads, kv_heads=kv_heads, bias=bias, tied=tied, bf16=bf16)


def check_floats(library: Path, virtual: int, **shape: int) -> None:
    """Steps of several sizes behind so many virtual tokens give torch's results and cache."""
    torch.manual_seed(0)
    model = random_model(**shape)
    caches = [KVCache(model.config, 60) for _ in range(2)]
    forwards = (TorchForward(model), native.NativeForward(model, library))
    start = 0
    if virtual:
        start = virtual
        kv = torch.randn(2, 2, shape["kv_heads"], virtual, 18)
        for cache in caches:
            cache.load_prefix(PrefixKV(kv, positions=False))
    for size, scored in ((9, 0), (1, 1), (7, 7), (6, 2)):
        ids = IDS[start - virtual : start - virtual + size]
        start += size
        (expected, logprobs), (chosen, chosen_logprobs) = (
            forward.step(ids, cache, scored)
            for forward, cache in zip(forwards, caches, strict=True)
        )
        assert chosen == expected
        assert len(chosen) == scored
        assert chosen_logprobs == pytest.approx(logprobs, abs=2e-4)
        torch_cache, native_cache = caches
        for reference, actual in (
            (torch_cache.keys, native_cache.keys),
            (torch_cache.values, native_cache.values),
        ):
            # rounding may give adjacent float16 values
            torch.testing.assert_close(
                reference[:, :, :start], actual[:, :, :start], atol=2e-4, rtol=2e-3
            )


@pytest.mark.parametrize("threads", [1, 3])
def test_native_is_the_same_bit_for_bit_however_ids_are_divided(library, threads) -> None:
    """What makes drafts exact: a token checked in a step of several is as if computed alone."""
    check_bits(library, threads)


def check_bits(library: Path, threads: int) -> None:
    """One step of many tokens has the bits of as many steps of one."""
    model = random_model(heads=4, kv_heads=2, bias=False, tied=True, bf16=True)
    forward = native.NativeForward(model, library, threads)
    whole, single = (KVCache(model.config, 64) for _ in range(2))
    kv = torch.randn(2, 2, 2, 37, 18)
    for cache in (whole, single):
        cache.load_prefix(PrefixKV(kv, positions=False))
    expected = forward.step(IDS, whole, len(IDS))
    one_by_one = [forward.step([token], single, 1) for token in IDS]
    assert ([c for (c,), _ in one_by_one], [p for _, (p,) in one_by_one]) == expected
    end = 37 + len(IDS)
    assert torch.equal(whole.keys[:, :, :end], single.keys[:, :, :end])
    assert torch.equal(whole.values[:, :, :end], single.values[:, :, :end])


def test_a_full_cache_is_refused_and_left_alone(library) -> None:
    model = random_model(heads=4, kv_heads=4, bias=False, tied=True, bf16=True)
    cache = KVCache(model.config, 5)
    with pytest.raises(ValueError, match="do not fit a cache of 5"):
        native.NativeForward(model, library).step(IDS, cache, 1)
    assert cache.length == 0


@pytest.mark.parametrize("kind", ["torch", "native"])
def test_a_cancelled_step_leaves_the_cache_alone(library, kind: str) -> None:
    model = random_model(heads=4, kv_heads=2, bias=False, tied=True, bf16=True)
    forward = TorchForward(model) if kind == "torch" else native.NativeForward(model, library)
    cache, cancel = KVCache(model.config, 40), Cancel()
    forward.step(IDS[:5], cache, 0, cancel)
    cancel.set()
    with pytest.raises(StepCancelledError):
        forward.step(IDS[5:9], cache, 1, cancel)
    assert cache.length == 5
    fresh = KVCache(model.config, 40)
    forward.step(IDS[:5], fresh, 0)
    assert forward.step(IDS[5:9], cache, 1) == forward.step(IDS[5:9], fresh, 1)


def test_it_takes_over_when_it_is_compiled(library, monkeypatch) -> None:
    """Until then torch computes, and the answers are the same."""
    monkeypatch.setattr("code_model.decoder.forward.find_library", lambda: None)
    made = Library(library, BASELINE, shipped=False)
    monkeypatch.setattr("code_model.decoder.forward.compile_library", lambda exiting: made)
    model = random_model(heads=4, kv_heads=4, bias=False, tied=True, bf16=True)
    forward = BestForward(model)
    before = forward.step(IDS[:5], KVCache(model.config, 40), 2)
    assert forward.native is None
    forward._compile(threading.Event())
    assert forward.native is not None
    assert forward.step(IDS[:5], KVCache(model.config, 40), 2)[0] == before[0]


ENDS_WHILE_IT_PACKS = """
import threading, torch
from code_model.decoder.forward import BestForward
from code_model.decoder.native import NativeForward
from tests.unit.code_model.decoder.test_native import random_model

began, pack = threading.Event(), NativeForward._pack
matrix = torch.zeros(600, 600)

def slow(native, weight):  # as for a model of gigabytes
    began.set()
    while not native._exiting.is_set():
        torch.mm(matrix, matrix)
    return pack(native, weight)

forward = BestForward(random_model(heads=4, kv_heads=4, bias=False, tied=True, bf16=True))
forward.native = None
NativeForward._pack = slow
forward.compile()
assert began.wait(60)
"""


def test_a_process_may_end_while_weights_are_packed(library) -> None:
    """Python unwinds the stacks of threads that are left, which aborts a process in C++."""
    ended = subprocess.run(
        [sys.executable, "-c", ENDS_WHILE_IT_PACKS], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_joined_weights_stay_the_models_own() -> None:
    """No weight is stored twice; joining again reuses the joined matrix."""
    model = random_model(heads=4, kv_heads=2, bias=True, tied=True, bf16=False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = TorchForward(model), TorchForward(model)
    for projection, other in zip(first._qkv, second._qkv, strict=True):
        assert isinstance(projection, partial)
        assert isinstance(other, partial)
        weights, again = projection.keywords["weight"], other.keywords["weight"]
        assert weights.data_ptr() == again.data_ptr()
        assert weights.data_ptr() in {
            block.self_attn.q_proj.weight.data_ptr() for block in model.blocks
        }
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
