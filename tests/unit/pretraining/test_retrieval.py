"""What training rows see of other files: what serving finds, and what a hole's names are."""

import random
from pathlib import Path

import pytest

from code_context.syntax import parse
from pretraining.corpus import CorpusError, Document
from pretraining.retrieval import PackageIndex, PackageIndexes, random_chunk

DEFINES = "class Valve:\n    def open_valve(self, pressure):\n        return pressure * 2\n"
USES = "from p.defines import Valve\n\n\ndef main():\n    return Valve().open_valve(3)\n"
HEADER = "int close_valve(int pressure);\n"
PACKAGE = [
    Document("p", "p/defines.py", DEFINES),
    Document("p", "p/uses.py", USES),
    Document("p", "p/own.py", DEFINES.replace("open_valve", "shut_valve")),
    Document("p", "src/valve.h", "struct Engine { int a; };\n" + HEADER, "c"),
]


@pytest.fixture
def index(tmp_path: Path) -> PackageIndex:
    return PackageIndexes(tmp_path, {"p": PACKAGE}).of("p")


def test_what_serving_finds_is_found(index: PackageIndex) -> None:
    tree = parse(USES.replace("Valve().open_valve(3)", ""), "python")
    snippets = index.served(tree, "p/uses.py", tree.text.index("return") + 7)
    assert "p/defines.py" in {snippet.path for snippet in snippets}
    assert "p/uses.py" not in {snippet.path for snippet in snippets}


def test_the_definition_of_a_name_is_found_in_other_files_only(index: PackageIndex) -> None:
    (found,) = index.defining("x.open_valve(3)", "p/uses.py")
    assert found.path == "p/defines.py"
    assert "open_valve" in found.text
    assert found.source == "definition"
    assert index.defining("x.open_valve(3)", "p/defines.py") == []
    assert index.defining("x.nowhere_else(3)", "p/uses.py") == []


def test_another_languages_definition_is_none(index: PackageIndex) -> None:
    assert index.defining("Engine()", "p/uses.py") == []
    assert [one.path for one in index.defining("Engine()", "src/other.c")] == ["src/valve.h"]


def test_an_ambiguous_name_defines_nothing(tmp_path: Path) -> None:
    files = [Document("p", f"p/{n}.py", DEFINES) for n in range(3)]
    index = PackageIndexes(tmp_path, {"p": files}).of("p")
    assert index.defining("open_valve", "p/uses.py") == []


def test_an_index_is_built_once_and_for_its_content_alone(tmp_path: Path) -> None:
    PackageIndexes(tmp_path, {"p": PACKAGE})
    (written,) = tmp_path.glob("*.sqlite")
    first = written.stat().st_mtime_ns
    (tmp_path / f"{written.stem}.partial").write_bytes(b"of a killed run")
    PackageIndexes(tmp_path, {"p": PACKAGE, "q": PACKAGE[:2]})
    assert written.stat().st_mtime_ns == first
    assert len(list(tmp_path.glob("*.sqlite"))) == 2
    found = PackageIndexes(tmp_path, {"p": PACKAGE[1:]}).of("p")
    assert found.defining("x.open_valve(3)", "p/uses.py") == []


def test_an_index_that_cannot_be_read_ends_the_run(tmp_path: Path) -> None:
    """Rows without snippets would teach something else, and nobody would see it."""
    PackageIndexes(tmp_path, {"p": PACKAGE})
    (written,) = tmp_path.glob("*.sqlite")
    content = written.read_bytes()
    written.write_bytes(content[:4096] + b"x" * (len(content) - 4096))
    damaged = PackageIndexes(tmp_path, {"p": PACKAGE}).of("p")
    with pytest.raises(CorpusError, match="delete the folder of indexes"):
        damaged.served(parse(USES, "python"), "p/uses.py", USES.index("Valve()"))


def test_a_random_chunk_is_part_of_its_file() -> None:
    text = random_chunk(PACKAGE[0], random.Random(1)).text
    assert text.strip()
    assert text in DEFINES
