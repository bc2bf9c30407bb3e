"""The benchmark of the wheel's libraries in a short form."""

from pathlib import Path

import pytest
import torch

from benchmarks import instruction_sets
from benchmarks.instruction_sets import CACHED, TOKENS, measure, table
from code_model.decoder import compiler
from code_model.decoder.forward import TorchForward
from code_model.decoder.library import compile_library
from code_model.decoder.llama import Llama, LlamaConfig
from code_model.decoder.native import NativeForward


@pytest.mark.skipif(compiler.find_compiler() is None, reason="no C++ compiler")
def test_every_library_and_torch_compute_every_step() -> None:
    made = compile_library()
    assert made is not None
    config = LlamaConfig(
        vocab_size=301, hidden_size=72, intermediate_size=100, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=18,
        max_position_embeddings=CACHED + max(TOKENS),
    )  # fmt: skip
    model = Llama(config)
    model.init_weights(torch.Generator().manual_seed(0))
    model.requires_grad_(False)
    here = NativeForward(model, made.path, threads=1)
    rows = measure({"here": (config, here), "torch": (config, TorchForward(model))}, turns=3)
    assert list(rows) == ["here", "torch"]
    assert len(table(rows).splitlines()) == 2 + len(rows)
    for row in rows.values():
        assert len(row) == len(TOKENS)
        assert all(0 < low <= middle <= high for low, middle, high in row)


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(instruction_sets, "find_compiler", lambda: None)
    with pytest.raises(SystemExit, match="there is none"):
        instruction_sets.main(["--out", str(tmp_path / "out.json")])
