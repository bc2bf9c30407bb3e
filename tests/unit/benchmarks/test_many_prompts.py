"""The benchmark of many prompts in a short form, with a small model."""

import json
from pathlib import Path

import pytest

from benchmarks import many_prompts
from tests.unit.benchmarks.test_transformers_engine import SMALL


@pytest.mark.slow
def test_a_short_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(many_prompts, "PROMPTS", 3)
    out = tmp_path / "many_prompts.json"
    options = ["--turns", "2", "--places", "2", "--virtual-tokens", "8", "--out", str(out)]
    many_prompts.main(options, SMALL)
    figures = json.loads(out.read_text())
    assert figures["throughput"]["same_ids"] == 1.0
    assert figures["memory"]["prompts"] > 0
    assert 0 < figures["replay"]["prefill_share"] + figures["replay"]["step_share"] <= 1.05
