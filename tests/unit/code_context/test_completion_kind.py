"""Golden cases of the completion kind; `$0` is the cursor."""

import pytest

from code_context.completion_kind import decide
from code_context.languages import language_of
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


OTHER_LANGUAGES = [
    ("main.js", "function f() {\n  $0\n}\n", "block"),
    ("main.js", "const f = (a) => {\n  $0\n};\n", "block"),
    ("main.js", "if (a) {$0", "block"),
    ("main.js", "const o = {\n  $0\n};\n", "line"),
    ("main.js", "f({\n  $0\n});\n", "line"),
    ("main.js", "function f() {\n  $0\n  return 1;\n}\n", "line"),
    ("main.js", "x = $0;", "line"),
    ("main.js", "// note $0", "none in_comment"),
    ("main.js", "/* a */$0", "line"),
    ("main.js", "/* a $0 */", "none in_comment"),
    ("main.js", "x = `a $0`;", "none in_string"),
    ("main.js", "fo$0o();", "none inside_word"),
    ("main.ts", "class A {\n  $0\n}\n", "block"),
    ("main.ts", "function f(a: number): Map<string, number> {\n  $0\n}\n", "block"),
    ("main.ts", "const x: A = {\n  $0\n}\n", "line"),
    ("main.tsx", "const A = () => {\n  $0\n};\n", "block"),
    ("main.go", "package a\n\nfunc f(a int) error {\n\t$0\n}\n", "block"),
    ("main.go", "package a\n\nvar x = T{\n\t$0\n}\n", "line"),
    ("main.rs", "impl Store {\n    fn f(&self) -> u8 {\n        $0\n    }\n}\n", "block"),
    ("main.rs", "let x = match y {\n    $0\n};\n", "block"),
    ("main.rs", "let x = Store {\n    $0\n};\n", "line"),
    ("main.rs", "/// Note.\n$0fn f() {}\n", "line"),
    ("Main.java", "class A {\n  void f(int a) throws IOException {\n    $0\n  }\n}", "block"),
    ("Main.java", "class A {\n    int[] a = {\n        $0\n    };\n}", "line"),
    ("main.c", "int f(int a) {\n    $0\n}\n", "block"),
    ("main.c", "int a[] = {\n    $0\n};\n", "line"),
    ("main.cpp", "int A::f(int a) const {\n    $0\n}\n", "block"),
    ("Main.cs", "class A {\n    public void F() {\n        $0\n    }\n}", "block"),
    ("main.rb", "def f(a)\n  $0\nend\n", "block"),
    ("main.rb", "list.each do |one|\n  $0\nend\n", "block"),
    ("main.rb", "x = f(\n  $0\n)\n", "line"),
    ("main.rb", "def f(a)\n  $0\n  b\nend\n", "line"),
    ("main.php", "<?php\nfunction f($a): int {\n    $0\n}\n", "block"),
    ("notes.txt", "anything {\n  $0", "line"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "marked", "expected"), OTHER_LANGUAGES)
def test_decide_in_other_languages(path: str, marked: str, expected: str) -> None:
    at = cursor(marked)
    decision = decide(parse(at.text, language_of(path)), at.offset)
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
