"""Symbols are extracted completely although most functions are skipped."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_context import symbols as subject
from code_context.languages import languages
from code_context.symbols import Definition, Import, extract_symbols
from code_context.syntax import parse
from tests.unit.code_context.test_languages import SOURCES
from tests.unit.code_context.test_syntax import SOURCE

TEXTS = {"python": SOURCE} | {language: text for language, (_, text) in SOURCES.items()}
LINES = [
    "import os\n", "from a import b as c, d\n", "from .x import (\n    y,\n)\n",
    "@mark(lambda: 1)\n", "def f(a, b=3):\n", "async def g():\n", "class A(B):\n", "if x:\n",
    "try:\n", "except E:\n", "value = {'import': 1}\n", "pass\n", "'''Say import.'''\n", "\n",
    "# import\n", "é = (\n", ")\n",
]  # fmt: skip
Symbols = tuple[list[Definition], list[Import]]


def without_skipping(text: str, language: str) -> Symbols:
    """The symbols if no function is skipped."""
    data = {key: replace(one, import_words=()) for key, one in languages().items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject, "languages", lambda: data)
        return extract_symbols(parse(text, language))


@pytest.mark.parametrize("language", sorted(TEXTS))
@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_skipping_functions_changes_nothing(language: str, data: st.DataObject) -> None:
    text = TEXTS[language]
    lines = text.splitlines(keepends=True)
    for _ in range(data.draw(st.integers(0, 4))):  # copy lines to random places
        start = data.draw(st.integers(0, len(lines) - 1))
        end = data.draw(st.integers(start, min(len(lines), start + 6)))
        at = data.draw(st.integers(0, len(lines)))
        indent = data.draw(st.sampled_from(["", "    ", "\t"]))
        lines[at:at] = [indent + line for line in lines[start:end]]
    assert extract_symbols(parse("".join(lines), language)) == without_skipping(
        "".join(lines), language
    )


@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from(LINES)), max_size=40))
@settings(deadline=None)
def test_skipping_functions_changes_nothing_in_broken_python(lines: list[tuple[int, str]]) -> None:
    text = "".join("    " * depth + line for depth, line in lines)
    assert extract_symbols(parse(text, "python")) == without_skipping(text, "python")


def test_imports_in_functions_are_found() -> None:
    text = "class A:\n    class B:\n        class C:\n            def f(self):\n" + (
        "                from a import b\n\n    def g(self):\n        import c\n"
    )
    definitions, imports = extract_symbols(parse(text, "python"))
    assert [one.name for one in definitions] == ["A", "B", "C", "f", "g"]
    assert [one.module for one in imports] == ["a", "c"]


def test_functions_without_an_import_word_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []
    original = subject.SyntaxTree.matches_inside
    monkeypatch.setattr(
        subject.SyntaxTree,
        "matches_inside",
        lambda tree, start, end: searched.append((start, end)) or original(tree, start, end),
    )
    text = "x = 1\n\n\ndef f():\n    pass\n\n\ny = 2\n"
    extract_symbols(parse(text, "python"))
    assert searched == [(0, text.index("def")), (text.index("pass") + 4, len(text))]
