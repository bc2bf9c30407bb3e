"""The latency benchmark in a short form, with the tiny model."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import latency, shape
from benchmarks.contenders import TransformersForward
from code_model.decoder import compiler
from code_model.decoder.library import compile_library
from code_model.decoder.llama import LlamaConfig
from code_model.decoder.model import DecoderModel
from code_model.decoder.native import NativeForward

SMALL = LlamaConfig(
    vocab_size=512, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
    num_attention_heads=2, num_key_value_heads=1, head_dim=16, max_position_embeddings=1024,
    attention_bias=True, tie_word_embeddings=True,
)  # fmt: skip
needs_compiler = pytest.mark.skipif(compiler.find_compiler() is None, reason="no C++ compiler")


@pytest.fixture
def library() -> Path:
    compiled = compile_library()
    assert compiled is not None
    return compiled.path


@needs_compiler
def test_a_model_in_8_bits_beside_its_other_precisions(base: DecoderModel, library: Path) -> None:
    """As the shipped one: what it has is not measured twice."""
    small = shape.quantised(base, "int8")
    small.forward.native = NativeForward(small.llama, library, threads=1)
    assert [name for name, _ in latency._precisions(small, 1)] == ["bfloat16", "int4"]
    assert [name for name, _ in latency._precisions(base, 1)] == ["int4", "int8"]
    ids = [5, 9, 30, 31]
    by_torch, compiled = (
        model.open().generate(ids, max_new_tokens=3)
        for model in (latency._uncompiled(small), small)
    )
    assert by_torch.ids == compiled.ids


@pytest.mark.slow
@needs_compiler
@pytest.mark.filterwarnings("ignore:Position ids are not supported:UserWarning")
def test_a_short_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shape, "CONFIG", SMALL)
    monkeypatch.setattr(shape, "SMALLER", replace(SMALL, attention_bias=False))
    out = tmp_path / "latency.json"
    latency.main(
        ["--cases", "2", "--large-cases", "1", "--prompt-tokens", "16", "--room", "300",
         "--threads", "1", "--out", str(out)]
    )  # fmt: skip
    figures = json.loads(out.read_text())
    assert figures.keys() == {
        "threads", "new_tokens", "prompt_tokens", "default", "prompt",
        "135M", "135M prompt", "0.5B", "0.5B prompt",
    }  # fmt: skip
    names = {row["name"] for row in figures["default"]}
    assert {"attune", "attune without a compiler", "attune int8", "PEFT generate"} <= names
    assert len(figures["default"]) == 8 + 3 * (find_spec("llama_cpp") is not None)
    for row in (*figures["default"], *figures["135M"], *figures["0.5B"]):
        assert row["median_ms"] > 0, row["name"]
        # llama.cpp rounds keys and values to float16
        if not any(word in row["name"] for word in ("llama.cpp", "int8", "int4")):
            assert row["same_ids"] == 1.0, "every contender computes the same greedy continuation"
    for costs in (figures["prompt"], figures["0.5B prompt"]):
        assert costs["prefill_added"] == 0
        assert all(costs[name] > 0 for name in ("decode_ratio", "switch_ms", "step_ms"))


def test_a_case_is_two_keystrokes(base: DecoderModel) -> None:
    for before, after in latency.cases_for(base, 12, room=300):
        assert before != after
        assert 0 < len(before) <= 300


def test_no_end_token_stops_a_contender(base: DecoderModel) -> None:
    endless = latency.without_end_tokens(base)
    for ids in ([7, 3, 250], [9, 9, 31, 102]):
        assert len(endless.open().generate(ids, max_new_tokens=40).ids) == 40
    assert base.encoder.end_ids


def test_a_cache_is_cropped_to_the_common_beginning(base: DecoderModel) -> None:
    from benchmarks.contenders import transformers_model

    beginning = base.encoder.beginning_ids
    model = transformers_model(base)
    kept = TransformersForward(model, beginning)
    for ids in ([7, 3, 250, 14], [7, 3, 250, 14, 9], [7, 3], [7, 3]):
        fresh = TransformersForward(model, beginning)
        assert kept.generate(ids, 5) == fresh.generate(ids, 5)


@needs_compiler
def test_a_slowed_model_gives_the_same_answers(base: DecoderModel, library: Path) -> None:
    own = replace(base)
    own.forward.native = NativeForward(own.llama, library)
    slowed = shape.slowed(own, SMALL)
    for ids in ([7, 3, 250, 14], [7, 3, 250, 14, 9], [9, 9]):
        wanted = own.open().generate(ids, max_new_tokens=6).ids
        assert slowed.open().generate(ids, max_new_tokens=6).ids == wanted
    assert own.forward is not slowed.forward


def test_a_gguf_file_holds_every_weight(base: DecoderModel, tmp_path: Path) -> None:
    from gguf import GGUFReader

    from benchmarks.gguf_export import export_gguf

    export_gguf(base.llama, tmp_path / "tiny.gguf")
    reader = GGUFReader(tmp_path / "tiny.gguf")
    stored = sum(int(tensor.n_elements) for tensor in reader.tensors)
    tied = base.llama.config.tie_word_embeddings
    assert tied
    assert stored == base.num_parameters
