"""The work of a keystroke in a short form."""

import json
from pathlib import Path

import pytest

from benchmarks.flat_cost import main

ROWS = ["100 lines", "10,000 numbers in a line", "80,000 openers"]


def test_a_keystroke_computes_few_tokens_in_any_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "flat_cost.json"
    size = ["--files", "20", "--keystrokes", "2", "--out", str(out)]
    main(["--documents", *ROWS, *size])
    rows = json.loads(out.read_text())
    assert list(rows) == [*ROWS, "20 files"]
    assert all(0 < tokens <= 4 for _, _, tokens in rows.values()), rows
    assert capsys.readouterr().out.count("\n") == 2 + len(rows)
