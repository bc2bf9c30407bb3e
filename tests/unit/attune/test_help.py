"""Help is complete, and fast because it imports nothing heavy."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

from attune import __version__
from attune.__main__ import app

LIGHT_ONLY = """
import sys, runpy
sys.argv = ["attune", sys.argv[1]]
try:
    runpy.run_module("attune", run_name="__main__")
except SystemExit as ended:
    assert not ended.code
heavy = {"torch", "numpy", "tokenizers", "pygls", "tree_sitter", "pydantic", "jinja2", "rich"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def commands(of: typer.Typer, *path: str) -> Iterator[tuple[str, ...]]:
    for command in of.registered_commands:
        assert command.callback is not None
        yield (*path, command.name or command.callback.__name__)
    for group in of.registered_groups:
        assert group.typer_instance is not None
        assert group.name is not None
        yield from commands(group.typer_instance, *path, group.name)


@pytest.mark.parametrize("command", list(commands(app)), ids=" ".join)
def test_every_command_says_what_it_does(command):
    shown = CliRunner().invoke(app, [*command, "--help"], prog_name="attune")
    assert shown.exit_code == 0
    usage, first_sentence, *_ = [line for line in shown.stdout.splitlines() if line.strip()]
    assert usage.startswith(f"Usage: attune {' '.join(command)}")
    assert first_sentence.strip()[0].isupper()


def test_all_commands_are_found():
    assert len(list(commands(app))) > 20


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(option):
    done = subprocess.run(
        [sys.executable, "-c", LIGHT_ONLY, option], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert ("Usage: attune" if option == "--help" else __version__) in done.stdout
