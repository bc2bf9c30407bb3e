"""Processes that are killed, a few of each kind; `make faults` kills a hundred."""

import json
from pathlib import Path

import pytest

from benchmarks.faults.__main__ import main

KILLS = {"prompt": 5, "push": 5, "index": 4, "tune": 2}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KILLS)
def test_a_killed_process_loses_nothing(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("XDG_CACHE_HOME", "ATTUNE_HOME", "ATTUNE_MODEL", "OMP_NUM_THREADS"):
        monkeypatch.setenv(variable, "1")  # main replaces them, and they are restored afterwards
    out = tmp_path / "faults.json"
    main(["--kills", str(KILLS[kind]), "--kinds", kind, "--out", str(out)])
    outcome = json.loads(out.read_text())[kind]
    assert outcome["problems"] == []
    assert outcome["kills"] + outcome["finished"] == KILLS[kind]
    assert outcome["kills"] > 0 or kind == "tune"  # one run in five ends before it is killed
