"""The benchmark of a prompt's memory in a short form."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import prompt_memory
from code_model.model_choice import ModelChoice


def test_a_short_run(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(prompt_memory, "choices", lambda: {"tiny": ModelChoice(tiny_model)})
    main = prompt_memory.main

    def run(command: list[str], **_: object) -> SimpleNamespace:
        """In this process instead of one of its own."""
        monkeypatch.setattr("sys.argv", ["prompt_memory", *command[3:]])
        capsys.readouterr()
        main()
        return SimpleNamespace(stdout=capsys.readouterr().out)

    monkeypatch.setattr(subprocess, "run", run)
    out = tmp_path / "prompt_memory.json"
    arguments = ["--tokens", "100", "--sessions", "2", "--results", str(out)]
    monkeypatch.setattr("sys.argv", ["prompt_memory", *arguments])
    main()
    figures = json.loads(out.read_text())["tiny"]
    numbers = 2 * 2 * 2 * 8  # of one token's keys and values
    assert figures["said"] == 256 * numbers * 4 + (256 + 1000) * numbers * 2
    assert isinstance(figures["measured"], int)
    assert "tiny" in capsys.readouterr().out
