"""A prompt that was really tuned, in a real repository: the picture of the README.

The repository is the package rich, which the default model has never seen; the prompt is the one
that was tuned on it as a control, and the file is one that its tuning held out.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import rich
from PIL import Image

from prompts.file import DEFAULT_PROMPT
from tuning.controls import FOLDER

pytestmark = pytest.mark.e2e

PARAMETERS = 'self, console: "Console", options: "ConsoleOptions"'
METHOD = f"    def __rich_console__(\n        {PARAMETERS}\n    )"
ENTERED = "\n        "  # Enter, and the editor's indentation


def animate(film: Path, target: Path) -> None:
    """One animated picture of all frames; the last ones stay longest."""
    frames = [Image.open(file).convert("P") for file in sorted(film.iterdir())]
    durations = [900] * (len(frames) - 2) + [2200, 2200]  # ms
    frames[0].save(
        target, save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True
    )


def test_the_prompt_completes_what_the_model_alone_does_not(play, workspace, pictures, tmp_path):
    """The same automatic completion: the model alone stops short, with the prompt it is whole."""
    shutil.copytree(
        Path(rich.__file__).parent,
        workspace.folder / "rich",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    code = (workspace.folder / "rich/constrain.py").read_text()
    before, method, after = code.partition(METHOD)
    assert method, "another version of rich"
    opened = workspace.write(
        "rich/constrain.py", f"{before}    def __rich_console__($0\n    ){after}"
    )
    prompt = workspace.folder / DEFAULT_PROMPT
    prompt.parent.mkdir()
    shutil.copyfile(FOLDER / "rich.attune.safetensors", prompt)

    film = tmp_path / "film"
    film.mkdir()
    result = play(
        opened,
        {"attune.pythonPath": sys.executable, "attune.comparisonShare": 0},
        {"statusSays": "Ready with prompt rich"},
        {"film": str(film)},
        {"press": "Enter"},
        {"film": str(film)},
        {"ghostIs": PARAMETERS},
        {"film": str(film)},
        {"accept": True},
        {"film": str(film)},
        {"save": True},
    )
    animate(film, pictures / "typing.gif")
    assert result["ghosts"] == [PARAMETERS]
    assert (workspace.folder / "rich/constrain.py").read_text() == code

    line = before.count("\n") + 2
    (workspace.folder / "rich/constrain.py").write_text(code.replace(PARAMETERS, "", 1))
    place = f"rich/constrain.py:{line}:{len(ENTERED)}"
    why = subprocess.run(
        [sys.executable, "-m", "attune", "why", place, "--prompt", "none", "--json"],
        cwd=workspace.folder,
        capture_output=True,
        check=True,
    )
    assert not json.loads(why.stdout)["text"].startswith(PARAMETERS)
