"""Scopes, imports and holes of good and broken Python."""

import gc
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_context import syntax
from code_context.holes import find_holes
from code_context.languages import language_of
from code_context.scopes import enclosing_scopes, find_scopes, import_spans
from code_context.symbols import extract_symbols
from code_context.syntax import parse
from tests.conftest import cursor

SOURCE = '''\
import os
from a import (b,
               c)


class Étude(Base):
    """Doc: def not_a_scope(): pass"""

    @property
    def name(self) -> str:  # comment
        if self.x:
            return compute(self.x, key="ß")
        return "😀"


def main(argv):
    for arg in argv:
        print(arg)
'''


def scope_names(marked: str) -> list[str]:
    at = cursor(marked)
    tree = parse(at.text, "python")
    return [
        at.text[scope.start : scope.body_start].split("(")[0].split()[-1].rstrip(":")
        for scope in enclosing_scopes(tree, at.offset)
    ]


@pytest.mark.parametrize(
    ("marked", "names"),
    [
        ("class A:\n    def f(self):\n        x = 1$0\n", ["A", "f"]),
        ("class A:\n    def f(self):\n        x = 1\n        $0", ["A", "f"]),
        ("class A:\n    def f(self):\n        x = 1\n    $0\n", ["A"]),
        ("class A:\n    def f(self):\n        x = 1\n$0\n", []),
        ("def f(a, $0b):\n    pass\n", ["f"]),
        ("$0def f():\n    pass\n", []),
        ("é = '😀'\n\nasync def f():\n    é$0\n", ["f"]),
    ],
)
def test_enclosing_scopes(marked: str, names: list[str]) -> None:
    assert scope_names(marked) == names


def test_import_spans_contain_whole_statements() -> None:
    tree = parse(SOURCE, "python")
    texts = [SOURCE[span.start : span.end] for span in import_spans(tree)]
    assert texts == ["import os", "from a import (b,\n               c)"]


def test_holes_of_every_kind() -> None:
    tree = parse(SOURCE, "python")
    holes = {(hole.kind, SOURCE[hole.start : hole.end]) for hole in find_holes(tree)}
    assert ("body", "for arg in argv:\n        print(arg)") in holes
    assert ("block", "print(arg)") in holes
    assert ("expression", 'compute(self.x, key="ß")') in holes
    assert ("expression", '"ß"') in holes
    assert ("arguments", 'self.x, key="ß"') in holes
    assert ("line", 'return "😀"') in holes
    assert ("line_end", "(argv):") in holes


def test_string_or_comment_at() -> None:
    tree = parse('x = "abc"  # note\ny = 1\n', "python")
    assert tree.string_or_comment_at(6) == "string"
    assert tree.string_or_comment_at(4) is None, "before the quote"
    assert tree.string_or_comment_at(9) is None, "behind the quote"
    assert tree.string_or_comment_at(17) == "comment", "a comment extends to the end of its line"
    assert tree.string_or_comment_at(20) is None


def test_an_unknown_language_has_no_syntax() -> None:
    tree = parse(SOURCE, None)
    assert (
        find_scopes(tree),
        import_spans(tree),
        find_holes(tree),
        tree.string_or_comment_at(3),
    ) == ([], [], [], None)


def test_languages_by_file_name() -> None:
    assert language_of("src/app.PY") == "python"
    assert language_of("stubs/app.pyi") == "python"
    assert language_of("README") is None
    assert language_of("SConstruct", "python") == "python"
    assert language_of("view", "typescriptreact") == "tsx"
    assert language_of("view", "javascriptreact") == "javascript"
    assert language_of("app.py", "plaintext") == "python", "a known suffix decides"
    assert language_of("app.py", "go") == "python"
    assert language_of("README", "klingon") is None


@given(st.text(alphabet="def class(x):\n \t\"'#é😀=.,[]{}@\r\0\ud800", max_size=120), st.data())
def test_broken_code_never_fails_and_spans_stay_inside(text: str, data: st.DataObject) -> None:
    tree = parse(text, "python")
    offset = data.draw(st.integers(0, len(text)))
    for hole in find_holes(tree):
        assert 0 <= hole.start < hole.end <= len(text)
        assert text[hole.start : hole.end].strip()
    for scope in enclosing_scopes(tree, offset):
        assert 0 <= scope.start <= scope.body_start <= scope.end <= len(text)
    tree.string_or_comment_at(offset)


TEXTS = {
    "python": "import os\ndef f(x):\n    return g(x)\n",
    "javascript": 'const a = require("b");\nconst c = other("d");\n',
    "ruby": 'require "x"\nputs "y"\n',
}


@pytest.mark.parametrize("language", TEXTS)
def test_nothing_of_a_parsed_text_stays_in_memory(language: str) -> None:
    """The library keeps what it has read and been given; a server parses texts for weeks."""

    def parse_one(number: int) -> None:
        tree = parse(TEXTS[language] * 1500 + f"x = {number}\n", language)
        assert extract_symbols(tree)[1]
        assert parse(f"{tree.text}y = 1\n", language, tree).root is not None

    parse_one(0)
    tracemalloc.start()
    try:
        for number in range(1, 11):
            parse_one(number)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 10_000, "a fifth of one of twenty texts"


def test_no_query_has_a_predicate() -> None:
    """It would ask for text by the callback of parsing, which ends the process, and keep memory."""
    folder = Path(syntax.__file__).with_name("languages")
    queries = list(folder.rglob("*.scm"))
    assert queries
    assert not [file for file in queries if "(#" in file.read_text(encoding="utf-8")]


@pytest.mark.parametrize(
    ("language", "text", "modules"),
    [
        ("javascript", 'const a = require("b"), c = other("d");\n', ["b"]),
        ("ruby", 'require "x"\nrequire_relative "y"\nputs "z"\n', ["x", "y"]),
    ],
)
def test_only_calls_that_import_are_imports(language: str, text: str, modules: list[str]) -> None:
    _, imports = extract_symbols(parse(text, language))
    assert [one.module for one in imports] == modules
