"""Strings and comments without an end; `$0` is the cursor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_context.completion_kind import decide
from code_context.syntax import parse
from tests.conftest import cursor

IN_STRING = [
    ("python", "print('hello $0"),
    ("python", 's = """some $0'),
    ("python", 's = """some\nmore $0'),
    ("python", 's = """some text\nmore $0\n\ndef g():\n    return 2\n'),
    ("python", 'def f():\n    """Doc.\n\n    More $0\n'),
    ("python", "def f():\n    print('hello $0\n    return 1\n"),
    ("python", "raise TypeError(f'{name}() must be$0\n                f'a path, not {kind}')\n"),
    ("python", "raise TypeError('%s() ta$0\n    (a, b, 's' if plural else ''))\n"),
    ("python", "x = f'a {b} c $0"),
    ("python", "x = f'a {{b.$0"),
    ("python", "x = 'a {b.$0"),
    ("python", 'x = ("a", "b$0'),
    ("python", 'x = ["a", ' + '"b", ' * 500 + '"c$0'),
    ("python", "x = \"don't $0"),
    ("python", "x = 'it\\'s $0"),
    ("python", "x = rb'ab$0"),
    ("python", "d['$0"),
    ("javascript", "f('hello $0"),
    ("javascript", "x = `abc ${b} d$0"),
    ("javascript", "x = `abc\n d$0"),
    ("typescript", "f('hello $0"),
    ("tsx", "x = `a $0"),
    ("go", 'x := "abc$0'),
    ("go", "x := `abc\n $0"),
    ("rust", 'let x = "a\n b $0'),
    ("rust", 'let s = r#"abc $0'),
    ("java", 'String s = "abc $0'),
    ("java", 'String s = """\n abc $0'),
    ("c", 'char *s = "abc $0'),
    ("c", "char c = 'a$0"),
    ("cpp", 'auto s = R"(abc $0'),
    ("csharp", 'var s = @"abc $0'),
    ("csharp", 'var s = $"abc {x} d$0'),
    ("ruby", "x = 'abc $0"),
    ("ruby", 'x = "abc #{b} c$0'),
    ("php", '<?php $x = "abc\n d $0'),
]
IN_COMMENT = [
    ("javascript", "/* abc $0"),
    ("javascript", "/** doc\n * more $0\nfunction f() {}\n"),
    ("c", "/* abc$0"),
    ("java", "/* abc$0\nint a;"),
    ("go", "/* abc\n$0"),
    ("rust", "/* a $0"),
    ("php", "<?php /* abc $0"),
    ("ruby", "=begin\nabc $0"),
]
CODE = [
    ("python", "def f():\n    print('hello \n    return 1 + $0\n"),
    ("python", "x = f'a {b.$0"),
    ("python", 'x = ("a", $0'),
    ("python", "x = {\"a\": f('b', $0"),
    ("python", "x = (1, # don't\n  $0"),
    ("python", "x = ('it\\'s', $0"),
    ("python", "x = f'{x.}' + ($0"),
    ("python", 'x = f"""{a.} x """\ny = ($0'),
    ("python", 'def f():\n    """Doc."""\n    x = ($0\n'),
    ("python", "x = '''a\nb''' + ($0"),
    ("javascript", "x = `abc ${b.$0"),
    ("javascript", "x = /'/.test(a, $0"),
    ("javascript", "x = /[/*]/.test(a, $0"),
    ("javascript", "// don't\nf($0"),
    ("javascript", "x = <p>don't {f($0"),
    ("rust", "fn f<'a>(x: &'a str) -> &'a str { g(x, $0"),
    ("csharp", 'var s = $"abc {x.$0'),
    ("ruby", 'x = "abc #{b.$0'),
    ("php", "don't <?php f($0"),
]


def reason(language: str, marked: str) -> str | None:
    at = cursor(marked)
    return decide(parse(at.text, language), at.offset).reason


@pytest.mark.parametrize(("language", "marked"), IN_STRING)
def test_nothing_is_offered_in_a_string_without_an_end(language: str, marked: str) -> None:
    assert reason(language, marked) == "in_string"


@pytest.mark.parametrize(("language", "marked"), IN_COMMENT)
def test_nothing_is_offered_in_a_comment_without_an_end(language: str, marked: str) -> None:
    assert reason(language, marked) == "in_comment"


@pytest.mark.parametrize(("language", "marked"), CODE)
def test_broken_code_is_still_completed(language: str, marked: str) -> None:
    assert reason(language, marked) is None


TOKENS = st.sampled_from(["x", " = ", "(", ")", "'", '"', '"""', "\\", "{", "f", "\n", "# ", "é"])


@given(st.lists(TOKENS, max_size=20).map("".join), st.sampled_from(["x = 1", "", "f('a', \"b\")"]))
def test_a_comment_or_string_that_is_whole_changes_nothing_below_it(above: str, line: str) -> None:
    """Only an open string of several lines reaches the next line."""
    text = above + "\n" + line
    if all(opens_lines not in text for opens_lines in ('"""', "'''", "\\\n")):
        assert decide(parse(text, "python"), len(text)).reason is None
