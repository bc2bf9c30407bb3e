"""Golden cases of the completion kind; `$0` is the cursor."""

import pytest

from code_context.completion_kind import decide
from code_context.syntax import parse
from tests.conftest import cursor

CASES = [
    # a line
    ("x = $0", "line"),
    ("x = foo($0)", "line"),
    ("x.$0\ny = 1\n", "line"),
    ("def f():\n    a = 1\n    $0\n    return a\n", "line"),
    ("def f():\n    $0\n    return a\n", "line"),
    ("d = {\n    'a':\n    $0\n}\n", "line"),
    ("x = a[1:$0]", "line"),
    ("if a: b = $0", "line"),
    ("$0", "line"),
    ("pri$0", "line"),
    ("f'{a}'$0", "line"),
    # a block
    ("def f():$0", "block"),
    ("def f():\n    $0", "block"),
    ("def f():\n    $0\n\n\ndef g():\n    pass\n", "block"),
    ("class A:\n    def f(\n        self,\n    ) -> int:\n        $0\n", "block"),
    ("if a:\n    b()\nelse:\n    $0\nc()\n", "block"),
    ("for x in y:  \n\n    $0", "block"),
    ("\tif a:\n\t\t$0\n\tb()\n", "block"),
    ("match x:\n    case 1:\n        $0", "block"),
    ("try:\r\n    $0\r\n", "block"),
    # no completion
    ("foo$0bar = 1", "none inside_word"),
    ("# note $0", "none in_comment"),
    ("x = 'abc$0'", "none in_string"),
    ('"""doc\n$0\n"""', "none in_string"),
    ("é$0é = 1", "none inside_word"),
]


@pytest.mark.parametrize(("marked", "expected"), CASES)
def test_decide(marked: str, expected: str) -> None:
    at = cursor(marked)
    decision = decide(parse(at.text, "python"), at.offset)
    assert " ".join(filter(None, (decision.kind.value, decision.reason))) == expected


@pytest.mark.parametrize("marked", ["# note $0", "x = 'abc$0'"])
def test_explicit_requests_complete_strings_and_comments(marked: str) -> None:
    at = cursor(marked)
    assert decide(parse(at.text, "python"), at.offset, explicit=True).kind.value == "line"


def test_explicit_requests_do_not_complete_inside_a_word() -> None:
    at = cursor("foo$0bar = 1")
    assert decide(parse(at.text, "python"), at.offset, explicit=True).reason == "inside_word"


def test_an_unknown_language_gets_line_completions() -> None:
    assert decide(parse("let x = ", None), 8).kind.value == "line"
