"""The server benchmark in a short form."""

import json
import re
import sys
from pathlib import Path

import pytest

from benchmarks import server
from code_model.loading import MODEL_VARIABLE


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_a_short_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of work ahead of requests, whose errors the server logs."""
    monkeypatch.delenv(MODEL_VARIABLE)  # its suggestions are followed by prefetching
    out = tmp_path / "server.json"
    server.main(["--requests", "4", "--settle", "1.5", "--idle", "0.5", "--out", str(out)])
    figures = json.loads(out.read_text())
    assert not re.findall("(?m)^(?:WARNING|ERROR|CRITICAL).*", capfd.readouterr().err)
    assert figures["requests"] == 4
    assert figures["start_to_first_answer_s"] > 0
    assert figures["resident_mb"] > 100
    assert figures.keys() >= {"start_cpu_s", "idle_cpu", "resident_idle_mb"}
