"""The benchmark of the transformers engine in a short form, with small models."""

import json
from pathlib import Path

import pytest

from benchmarks import transformers_engine

SMALL = transformers_engine.SMOLLM2 | {
    "hidden_size": 36,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "vocab_size": 16_384,
}


@pytest.mark.slow
def test_a_short_run(tmp_path: Path) -> None:
    out = tmp_path / "transformers.json"
    options = ["--cases", "2", "--turns", "1", "--room", "120", "--threads", "1", "--out", str(out)]
    transformers_engine.main(options, SMALL)
    figures = json.loads(out.read_text())
    assert figures["bare_loop"]["same_ids"] == 1.0
    assert figures["bare_loop"]["ratio"] > 0
    assert figures["drafts"]["steps_ratio"] <= 1.0
