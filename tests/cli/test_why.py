"""`attune why` as a process."""

import inspect
import json
import shutil
import stringprep
from pathlib import Path

import pytest

from prompts.file import DEFAULT_PROMPT, SUFFIX
from tests.cli.test_cli import attune, refused
from tuning import controls

pytestmark = pytest.mark.slow

MAIN = "from store import Store\n\nstore = Store()\nstore.add(\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / ".git").mkdir(parents=True)
    (root / "store.py").write_text("class Store:\n    def add(self, name: str):\n        pass\n")
    (root / "main.py").write_text(MAIN)
    return root


def test_json_and_page(repository: Path, tiny_model: Path, tmp_path: Path) -> None:
    page = tmp_path / "why.html"
    place = f"{repository / 'main.py'}:4:11"
    done = attune("why", place, "--json", "--html", str(page), model=tiny_model)
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["text"] else 1), done.stderr
    assert (report["reason"] is None) == bool(report["text"])
    assert report["pieces"][0]["path"] == "store.py"
    assert report["pieces"][0]["text"].startswith("class Store:\n    def add(")
    assert report["input_tokens"] == sum(piece["tokens"] for piece in report["pieces"])
    html = page.read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>")
    assert "class Store:" in html
    assert "http" not in html, "the page is self-contained"
    assert {file.name for file in tmp_path.iterdir() if file.is_file()} == {"why.html"}


def test_terminal(repository: Path, tiny_model: Path) -> None:
    served = "It was cached."
    place = f"{repository / 'main.py'}:4:11"
    done = attune("why", place, "--served", served, model=tiny_model)
    assert f"The last completion in the editor: {served}" in done.stdout
    assert "before the cursor" in done.stdout
    assert "store.py:1" in done.stdout
    assert "tokens were computed" in done.stdout


@pytest.mark.shipped_weights
def test_a_prompt_that_does_not_fit_the_file_is_not_used(repository: Path) -> None:
    """The shipped prompt that was tuned on networkx, for a file with tables of characters."""
    prompt = repository / DEFAULT_PROMPT
    prompt.parent.mkdir()
    shutil.copy(controls.FOLDER / f"networkx{SUFFIX}", prompt)
    text = inspect.getsource(stringprep)
    (repository / "main.py").write_text(text)
    place = f"{repository / 'main.py'}:{text.count(chr(10)) // 2}:1"
    prompt_names = [
        json.loads(attune("why", place, "--json", *option).stdout)["prompt"]["name"]
        for option in ((), ("--prompt", str(prompt)))
    ]
    assert prompt_names[0].startswith("no prompt (prompt networkx does not fit this file")
    assert prompt_names[1] == "networkx"
    done = json.loads(attune("complete", place, "--json").stdout)
    assert done["prompt"] is None


def test_code_on_the_page_stays_text(repository: Path, tiny_model: Path, tmp_path: Path) -> None:
    (repository / "main.py").write_text("x = '<script>alert(1)</script>'\ny = \n")
    page = tmp_path / "why.html"
    attune("why", f"{repository / 'main.py'}:2:5", "--html", str(page), model=tiny_model)
    html = page.read_text(encoding="utf-8")
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_a_page_that_cannot_be_written(repository: Path, tiny_model: Path, tmp_path: Path) -> None:
    place = f"{repository / 'main.py'}:4:11"
    nowhere = str(tmp_path / "none" / "why.html")
    done = attune("why", place, "--html", nowhere, model=tiny_model)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    refused(attune("why", "main.py", model=tiny_model), 2, "is not FILE:LINE:COL")
