"""The benchmark of the start in a short form."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import start
from code_model.loading import MODEL_VARIABLE


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_a_short_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    out = tmp_path / "start.json"
    start.main(["--models", "shipped", "--turns", "1", "--out", str(out)])
    figures = json.loads(out.read_text())["shipped"]
    for unit in ("wall_s", "cpu_s"):
        assert figures[unit]["first_answer"] > 0
        ratio = figures[unit]["first_answer"] / figures[unit]["load"]
        assert figures[unit]["ratio"] == pytest.approx(ratio, rel=0.01)
