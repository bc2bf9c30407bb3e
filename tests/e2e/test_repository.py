"""The real model with a repository's prompt: fast typing, a file that is replaced, trust."""

import json
import sys

import numpy as np
import pytest

from code_model.decoder.soft_prompt import kv_of_ids, kv_to_rows
from code_model.loading import load_model
from prompts.file import DEFAULT_PROMPT, PromptFile, write_prompt
from prompts.manifest import Manifest

pytestmark = pytest.mark.e2e

KEYSTROKES = 500
# What a person types: no snippet, no pair, no indentation comes from the editor.
AS_TYPED = {"editor.autoIndent": "none", "editor.formatOnType": False}
# The lines above the cursor leave little doubt that something follows.
READER = """\
class Reader:
    def __init__(self, path, encoding, errors):
        self.path = path
        self.encoding = encoding
        $0
"""
LINE = "value_{0} = compute(first_{0}, second={0})\n"


@pytest.fixture(scope="module")
def prompt_file(tmp_path_factory):
    """A prompt that says it has proved itself: the keys and values of a line of code."""
    base = load_model()
    ids = base.tokenizer.encode("class Reader:\n")
    rows = kv_to_rows(kv_of_ids(base.llama, ids)).numpy()
    manifest = Manifest(
        name="space",
        form="kv",
        num_virtual_tokens=len(ids),
        model=base.identity,
        attune_version="0.1.0",
        measured={"proven": True, "gain": 0.0421},
    )
    path = tmp_path_factory.mktemp("prompt") / "space.attune.safetensors"
    write_prompt(path, PromptFile(manifest, np.ascontiguousarray(rows, dtype=np.float32)))
    return path


def test_fast_typing_while_the_prompt_is_replaced(play, workspace, prompt_file):
    """500 keystrokes at 12 a second: no character is lost, and neither log knows an error."""
    typed = "".join(LINE.format(number) for number in range(20))[:KEYSTROKES]
    assert len(typed) == KEYSTROKES
    half = KEYSTROKES // 2
    target = workspace.folder / DEFAULT_PROMPT
    target.parent.mkdir()
    result = play(
        workspace.write("main.py", "import os\n\n$0"),
        {"attune.pythonPath": sys.executable, **AS_TYPED},
        {"statusSays": "Ready without a prompt"},
        {"hurry": typed[:half]},
        {"copy": [str(prompt_file), str(target)]},
        {"hurry": typed[half:]},
        {"statusSays": r"Ready with prompt space \(saves 4\.2 % "},
        {"save": True},
        {"note": "main.py"},
    )
    assert result["notes"] == [f"import os\n\n{typed}"]
    assert result["status"]["text"] == "Attune: space"
    assert result["errors"] == []
    assert result["popUps"] == []


def test_untrusted_workspace(play, workspace, prompt_file, tmp_path):
    """Nothing of it runs, no prompt of it serves without consent, and completions come."""
    target = workspace.folder / DEFAULT_PROMPT
    target.parent.mkdir()
    target.write_bytes(prompt_file.read_bytes())
    mark = tmp_path / "executed"
    evil = workspace.folder / "python"
    evil.write_text(f"#!/bin/sh\ntouch {mark}\n")
    evil.chmod(0o755)
    (workspace.folder / ".vscode").mkdir()
    settings = {"attune.pythonPath": str(evil), "attune.promptFile": DEFAULT_PROMPT}
    (workspace.folder / ".vscode" / "settings.json").write_text(json.dumps(settings))
    result = play(
        workspace.write("main.py", READER),
        {"attune.pythonPath": sys.executable},
        {"statusSays": "Ready without a prompt"},
        {"type": "self."},
        {"ask": True},  # so that the show threshold does not decide the test
        {"press": "Escape"},
        untrusted=True,
    )
    assert result["status"]["kind"] == "warning"
    assert result["status"]["text"] == "Attune"
    assert not mark.exists()
    assert result["errors"] == []
