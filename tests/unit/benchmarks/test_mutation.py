"""The table of mutation testing."""

import json
from pathlib import Path

import pytest

from benchmarks.mutation import main


@pytest.mark.parametrize(("codes", "status"), [([1, 1, -24, 1, 0, None], 0), ([1, 1, 1, 33], 1)])
def test_a_mutant_that_no_test_finds_survives(
    codes: list[int | None], status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts").mkdir()
    by_name = {f"prompts.file.x_{n}": code for n, code in enumerate(codes)}
    (tmp_path / "prompts" / "file.py.meta").write_text(json.dumps({"exit_code_by_key": by_name}))
    (tmp_path / "other.py.meta").write_text(json.dumps({"exit_code_by_key": {}}))
    assert main([str(tmp_path)]) == status
    output = capsys.readouterr().out
    tested = len([code for code in codes if code is not None])
    share = round(100 * (tested - 1) / tested)
    assert f"| `prompts/file.py` | {len(codes)} | {tested} | {tested - 1} | 1 | {share} |" in output
    (survivor,) = (name for name, code in by_name.items() if code in (0, 33))
    assert output.splitlines()[-1] == survivor
