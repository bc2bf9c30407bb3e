"""The extension with the real server and the real model, and without any."""

import sys

import pytest

pytestmark = pytest.mark.e2e

# `$0` marks the cursor. The lines above leave little doubt that something follows.
CODE = """import unittest


class TestMath(unittest.TestCase):
    def test_add(self):
        self.assertEqual(1 + 1, 2)

    def test_subtract(self):$0
"""
TYPED = " pass"
ENTERED = "\n        "  # Enter, and the editor's indentation


def test_ghost_text_is_accepted_with_tab_and_saved(play, workspace, pictures):
    """The grey text that was shown is, to the letter, what lands in the file on disk."""
    result = play(
        workspace.write("test_math.py", CODE),
        {"attune.pythonPath": sys.executable},
        {"status": "normal"},
        {"press": "Enter"},
        {"ghost": True},
        {"screenshot": str(pictures / "vscode.png")},
        {"accept": True},
        {"save": True},
    )
    [ghost] = result["ghosts"]
    assert ghost.strip()
    assert workspace.text("test_math.py") == CODE.replace("$0", ENTERED + ghost)
    assert result["status"]["text"] == "Attune"
    assert result["popUps"] == []


def test_missing_interpreter_is_told_in_the_status_bar(play, workspace, tmp_path):
    """Without a server the status bar says why and what to do, and the editor works as ever."""
    missing = tmp_path / "no-such-python"
    result = play(
        workspace.write("test_math.py", CODE),
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
    assert workspace.text("test_math.py") == CODE.replace("$0", TYPED)


def test_disabled_extension_starts_no_server(play, workspace):
    """With `attune.enable` off there is no process that a request could go to."""
    result = play(
        workspace.write("test_math.py", CODE),
        {"attune.pythonPath": sys.executable, "attune.enable": False},
        {"status": "normal"},
        {"type": TYPED},
        {"save": True},
    )
    assert result["status"]["label"] == "Attune: Off; set attune.enable to turn it on."
    assert not any("Starting" in line for line in result["log"])
