"""Prompts of the form kv are served only where writing the cache was verified."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from code_model import llama_cpp_library
from code_model.language_model import ModelLoadError
from code_model.llama_cpp import soft_prompt, verification
from code_model.llama_cpp.model import LlamaCppModel
from code_model.llama_cpp.sequence_state import (
    EXACT,
    SMALL,
    CacheFormat,
    SequenceState,
    StateLayoutError,
)
from prompts.errors import IncompatiblePrompt
from tests.unit.code_model.llama_cpp.conftest import Pair
from tests.unit.code_model.llama_cpp.test_equalities import prompt_for

pytestmark = pytest.mark.parametrize("pair", ["llama float16"], indirect=True)


def unverified(pair: Pair) -> LlamaCppModel:
    return replace(pair.llama_cpp)  # without what is cached


def test_another_version_serves_embeddings_only(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "package_version", lambda: "0.3.99")
    model = unverified(pair)
    assert list(model.forms) == ["embedding"]
    with pytest.raises(IncompatiblePrompt, match=r"verified with .* 0\.3\.36, and 0\.3\.99 is"):
        model.open(prompt_for(pair, "kv", [1, 2, 3]))
    assert model.open(prompt_for(pair, "embedding", [1, 2, 3])).num_virtual_tokens == 3


def test_a_layout_that_changed_is_refused(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = SequenceState.encode

    def values_first(state: SequenceState, cache: CacheFormat) -> bytes:
        return encode(SequenceState(state.values, state.keys), cache)

    monkeypatch.setattr(SequenceState, "encode", values_first)
    assert "the logits differ" in unverified(pair).refusals["kv"]


def test_bytes_that_llama_cpp_refuses(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = SequenceState.encode
    monkeypatch.setattr(
        SequenceState, "encode", lambda state, cache: encode(state, cache)[:-8] + b"\0" * 4
    )
    assert "llama.cpp does not take" in unverified(pair).refusals["kv"]


def test_another_rotation_is_refused(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soft_prompt, "INTERLEAVED", {"llama": False})
    assert "rotates other channels" in unverified(pair).refusals["kv"]


def test_an_architecture_nobody_verified_completes_without_prompts(pair: Pair) -> None:
    model = replace(pair.llama_cpp, architecture="granite")
    assert list(model.forms) == []
    with pytest.raises(IncompatiblePrompt, match="verified for the architectures llama, qwen2"):
        model.open(prompt_for(pair, "embedding", [1, 2, 3]))
    assert model.open().generate([5, 6, 7], max_new_tokens=2).ids


@pytest.mark.parametrize("cache", [SMALL, EXACT])
def test_a_state_is_read_as_it_was_written(pair: Pair, cache: CacheFormat) -> None:
    state = SequenceState.decode(SequenceState(*arrays()).encode(cache), cache, 8)
    assert (state.keys == arrays()[0]).all()
    assert (state.values == arrays()[1]).all()
    data = state.encode(cache)
    for damaged in (data[:-1], data + b"\0", b"\1" + data[1:], data[:40]):
        with pytest.raises(StateLayoutError):
            SequenceState.decode(damaged, cache, 8)


def arrays() -> tuple[np.ndarray, np.ndarray]:
    numbers = np.arange(2 * 3 * 8, dtype=np.float32).reshape(2, 3, 8)
    return numbers, -numbers


def test_without_the_package_the_sentence_says_what_to_install(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp.llama_cpp", None)
    with pytest.raises(ModelLoadError, match=r"install attune\[llamacpp\]"):
        llama_cpp_library.library()
