"""Files, functions and classes stay small enough to read at once."""

from tests.structure.source import ROOT, classes, files, functions

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
MAX_ATTRIBUTES = 10
REASON = "Reason for its size:"
"""Where a class's docstring goes on to say why it has more attributes (ARCHITECTURE.md)."""


def test_files() -> None:
    lines = {
        str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in files()
    }
    assert len(lines) > 100
    assert not {path for path, count in lines.items() if count > MAX_FILE_LINES}


def test_functions() -> None:
    too_long = {
        f"{path} {name}"
        for path in files()
        for name, lines in functions(path)
        if lines > MAX_FUNCTION_LINES
    }
    assert not too_long


def test_classes() -> None:
    too_large = {
        f"{path} {name}"
        for path in files()
        for name, attributes, docstring in classes(path)
        if len(attributes) > MAX_ATTRIBUTES and REASON not in docstring
    }
    assert not too_large
