"""The commands `corpus` and `tokenizer`, from archives to a table and a tokenizer file."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from pretraining import __main__ as command
from pretraining import package_lists, sources
from pretraining.package_lists import Package
from tests.unit.pretraining import made_packages
from tests.unit.pretraining.test_corpus import body

CONFIG = """
[tokenizer]
vocab_size = 270
sample_bytes = 10_000
[training]
seed = 1
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "200")
    packages = [
        Package("held", "1", "pip", "python", held_out=True),
        Package("one", "2", "pip", "python", held_out=False),
    ]
    for package in packages:
        folder = sources.folder_of(package, tmp_path)
        folder.mkdir(parents=True)
        made_packages.wheel(folder, {f"{package.name}.py": body(package.name)})
    monkeypatch.setattr(package_lists, "listed", lambda per_language: {"python": packages})
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return path


def run(config: Path, name: str, *options: str) -> int:
    return command.main([name, "--folder", str(config.parent), "--config", str(config), *options])


def test_corpus_and_tokenizer(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "corpus") == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "python" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")][:2] == ["python", "1"]
    assert run(config, "tokenizer", "--sizes", "275") == 0
    printed = capsys.readouterr().out
    assert "270, GPT-2's pattern" in printed
    assert "275" in printed
    written = Tokenizer.from_file(str(config.parent / "run" / "tokenizer.json"))
    assert written.get_vocab_size() == 270


def test_a_damaged_archive_is_one_sentence(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (wheel,) = config.parent.glob("archives/pip/one=2/*.whl")
    wheel.write_bytes(b"nonsense")
    assert run(config, "corpus") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("pretraining: ")
    assert "is damaged" in last
