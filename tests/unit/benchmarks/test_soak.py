"""The soak in a short form: what must hold from the first request on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.soak.__main__ import main
from benchmarks.soak.figures import of_each_process
from code_model.loading import MODEL_VARIABLE


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it reads what Linux tells of a process")
def test_a_short_soak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MODEL_VARIABLE)  # random weights suggest nothing that could be stale
    monkeypatch.setenv("XDG_CACHE_HOME", "")  # main replaces it, and it is restored afterwards
    out = tmp_path / "soak.json"
    size = ["--requests", "150", "--storms", "2", "--storm-files", "300", "--probes", "2"]
    main([*size, "--documents", "4", "--out", str(out)])
    result = json.loads(out.read_text())
    counts = result["counts"]
    assert counts["requests"] >= 150
    assert counts["suggested"] > 0
    assert counts["cancelled"] > 0
    assert counts["files changed in storms"] == 600


def test_a_process_that_ends_while_it_is_asked_is_left_out() -> None:
    def number(process: psutil.Process) -> float:
        if process.pid != os.getpid():
            raise psutil.NoSuchProcess(process.pid)
        return 1.0

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        first, *others = of_each_process(os.getpid(), lambda one: one.pid)
        assert first == os.getpid()
        assert child.pid in others
        assert of_each_process(os.getpid(), number) == [1.0]
        child.communicate()
    with pytest.raises(psutil.NoSuchProcess):
        of_each_process(child.pid, number)
