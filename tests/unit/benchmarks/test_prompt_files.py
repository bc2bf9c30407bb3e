"""The benchmark of prompt files in a short form, with the tiny model."""

import json

import pytest

from benchmarks import prompt_files


def test_a_short_run(capsys: pytest.CaptureFixture[str]) -> None:
    prompt_files.main(["--rounds", "2", "--pushers", "3", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert result["missing_versions"] == 0
    assert result["figures"].keys() == {
        "plain read", "load and verify", "swap, by the watch", "swap, by a request",
        "check for changes", "push, 3 processes at once",
    }  # fmt: skip
    assert all(row["median_ms"] > 0 for row in result["figures"].values())


def test_the_table_names_missing_versions(capsys: pytest.CaptureFixture[str]) -> None:
    prompt_files.main(["--rounds", "1", "--pushers", "2"])
    out = capsys.readouterr().out
    assert "0 of 2 pushed versions are missing" in out
    assert "target 20 ms" in out
