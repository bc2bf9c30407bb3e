"""Golden cases of every filter: `$0` is the cursor, None leaves the text unchanged."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_context.syntax import parse
from completion import filters
from completion.filters import Candidate
from tests.conftest import cursor

CASES = {
    filters.repeats_suffix: [
        ("foo($0, b)", "a, b)", "a"),
        ("foo($0, b)", ", b)", ""),
        ("if $0:\n    pass", "x > 1:", "x > 1"),
        ("x = $0  # why", "1  # why", "1"),
        ("foo($0)", "a)", None),  # the edit's range replaces the bracket
        ("foo( $0 )", "a )", None),
        ("foo($0, bc)", "a, bc", "a"),  # four characters of what is behind, not all of it
        ("if $0:\n    pass", "x", None),
        ("$0\nab()", "ab()", ""),
        ("b = $0  # x\nb = compute(a)", "compute(a)\nc = 1", ""),
        ("b = $0  # x\nb = compute(a)  # x", "compute(a)", ""),
        ("x = $0\nreturn x", "1\nreturn x", "1"),
        ("a = 1\n$0\nb = compute(a)", "b = compute(a)", ""),
        ("a = 1\nb = $0\nb = compute(a)", "compute(a)", ""),
        ("def f():\n    $0\n\ndef g():\n    pass", "x = 1\n\ndef g():", "x = 1\n"),
        ("if a:\n    $0\nelse:\n    b", "c\nelse:", "c"),
        ("x = [\n    $0\n]", "1,\n]", None),  # one bracket repeats by chance
        ("x = $0\ny = 2", "y + 2", None),
        ("x = $0", "1", None),
    ],
    filters.repeats_left: [
        ("x = self.encoding$0", "self.encoding", ""),
        ("x = self.encoding$0", "self.encoding, 1", ""),
        ("x = self.encoding$0", "s", None),
        ("x = self.encoding$0", ".self.encoding", None),
        ("x = node + $0", "node + 1", None),  # not directly in front
        ("x = test$0", "tests", None),  # a longer word is another one
        ("x = foo$0", "foo", None),  # short names repeat by chance
        ("x = node$0", "node", ""),
    ],
    filters.joins_word: [
        ("x = $0getattr(a, b)", "None", ""),
        ("x = $0getattr(a, b)", "a or ", None),
        ("x = $0getattr(a, b)", "not(", None),
        ("foo($0)", "None", None),
        ("x = $0 + 1", "None", None),
        ("x = $0\ny", "None", None),
        ("x = $0été", "2", ""),
    ],
    filters.unbalanced_brackets: [
        ("x = $0", "foo(1))", "foo(1)"),
        ("x = $0", ")", ""),
        ("foo(a, $0", "b)", None),
        ("foo([a, $0", "b])", None),
        ("foo([a, $0", "b)]", "b"),
        ("foo(a)$0", "]", ""),
        ("foo(\n    a,\n    $0", "b,\n)", None),
        ("x = '($0", "a)'", None),
        ("x = $0", "')'", None),
        ("don't (he said$0", ")", None),
        ("($0", ")", None),
        ("(" + " " * filters.BRACKET_WINDOW + "$0", ")", ""),  # too far away to be searched
    ],
    filters.wrong_indentation: [
        ("def f():\n    $0", "a = 1\n    return a", None),
        ("def f():\n    $0", "a = 1\n\treturn a", "a = 1"),
        ("def f():\n\t$0", "a = 1\n    return a", "a = 1"),
        ("def f():\n\tb\n\t$0", "a = 1\n\treturn a", None),
        ("def f():\n    $0", "if a:\n        b\n      c", "if a:\n        b"),
        ("def f():\n  $0", "if a:\n    b\n  c", None),
        ("def f():\n    $0", "x = foo(1,\n          2)\n    return x", None),
        ("def f():\n    $0", "a = 1\n\n    return a", None),
        ("x = $0", "1\n   y", None),  # the file's unit is unknown
        ("$0\nif a:\n\tb\n", "if x:\n    y", "if x:"),  # the unit of what follows
        ("def f():\n    x = foo($0", "1,\n          2)", None),
    ],
    filters.repetition_loop: [
        ("x = $0", "a.b.a.b.a.b.a.b.a.b.a.b", ""),
        ("x = $0", "foo(1, 1, 1, 1, 1, 1, 1, 1)", ""),
        ("def f():\n    $0", "a = 1\n    b = compute(a)\n" + "    c = compute(b)\n" * 3,
         "a = 1\n    b = compute(a)\n    c = compute(b)"),
        ("$0", "a = 1\nb = 2\nb = 2\nb = 2", "a = 1\nb = 2"),
        ("$0", "b = 2\nc = 3\nb = 2", None),
        ("$0", "a = 1\nb = " + "foo(1, " * 6, "a = 1"),
        ("x = $0", "compute(first) + " * 3, ""),
        ("# $0", "-" * 40, None),
        ("x = $0", "[0, 1, 2, 3, 4, 5]", None),
        ("x = $0", "self.first + self.second + self.third", None),
    ],
    filters.breaks_parse: [
        ("x = $0", "1", None),
        ("x = $0", "foo bar", None),  # `x = ` was an error already; it is not worse now
        ("a = 1\n$0\nb = 2", "x y z", ""),
        ("a = 1\n$0\nb = 2", "for a in b:", None),
        ("a = 1\n$0\nb = 2", "foo(", None),
        ("a = 1\n$0\nb = 2", "@cached", None),
        ("a = 1\n$0\nb = 2", "case 1:", None),
        ("a = 1\n$0\nb = 2", "c = 1\nd e f", "c = 1"),
        ("a = 1\n$0\nb = 2", "@cached\nx y z", "@cached"),
        ("def f():\n    $0\n", "return x y", ""),
        ("def f():\n    $0\n", "return x", None),
        ("foo($0)\n", "a b c", ""),
        ("foo($0)\n", "a, b", None),
    ],
}  # fmt: skip
FLAT = [(shorten, *case) for shorten, cases in CASES.items() for case in cases]


@pytest.mark.parametrize(
    ("shorten", "marked", "text", "expected"), FLAT, ids=[case[0].__name__ for case in FLAT]
)
def test_golden(shorten: filters.Filter, marked: str, text: str, expected: str | None) -> None:
    at = cursor(marked)
    kept = shorten(Candidate(parse(at.text, "python"), at.offset, text))
    assert kept == (text if expected is None else expected)


def test_every_filter_has_cases() -> None:
    assert set(CASES) == set(filters.FILTERS.values())


def test_filters_are_applied_one_after_the_other() -> None:
    at = cursor("def f():\n    $0\n")
    text = "a = 1\n    b = (2))\n    c = 3"
    candidate = Candidate(parse(at.text, "python"), at.offset, text)
    assert filters.apply(candidate) == ("a = 1\n    b = (2)", None)
    removed = Candidate(parse(at.text, "python"), at.offset, ") = 1")
    assert filters.apply(removed) == ("", "unbalanced_brackets")


PIECES = st.lists(
    st.sampled_from(
        ["foo", "(", ")", "[", "]", " ", "\n", "\n    ", "\t", ":", "'", '"', "é", "1"]
    ),
    max_size=25,
).map("".join)


@given(PIECES, PIECES, PIECES, st.sampled_from(["python", None]))
@settings(deadline=None, max_examples=150)
def test_filters_only_shorten(before: str, text: str, behind: str, language: str | None) -> None:
    """On any text: a beginning of it, or a reason."""
    tree = parse(before + behind, language)
    kept, reason = filters.apply(Candidate(tree, len(before), text))
    assert text.startswith(kept)
    assert bool(kept) != bool(reason)


def test_an_unknown_language_is_not_parsed() -> None:
    text = "a = 1\n"
    assert filters.breaks_parse(Candidate(parse(text, None), 0, "x y z")) == "x y z"


def test_a_line_that_was_cut_may_be_broken() -> None:
    at = cursor("a = 1\n$0\nb = 2")
    candidate = Candidate(parse(at.text, "python"), at.offset, "d e f", is_cut=True)
    assert filters.breaks_parse(candidate) == "d e f"
    assert filters.breaks_parse(replace(candidate, text="c = 1\nd e f")) == "c = 1"


def test_repeated_lines_are_long_or_next_and_not_far_below() -> None:
    long_line = "v" * filters.LONG_LINE

    def kept(below: str, text: str) -> str:
        tree = parse("\n" + below, "python")
        return filters.repeats_suffix(Candidate(tree, 0, text, infills=False))

    filler = [f"a = {n}" for n in range(filters.LINES_BELOW)]
    assert kept("\n".join([*filler[1:], long_line]), long_line) == ""
    assert kept("\n".join([*filler, long_line]), long_line) == long_line
    assert kept("b = 12", "b = 12") == ""


@pytest.mark.parametrize(
    ("marked", "text", "kept"),
    [
        ("$0\na = 1\nvalue = compute(first, second)", "value = compute(first, second)", ""),
        ("value = $0\na = 1\nvalue = compute(first, second)", "compute(first, second)", ""),
        (
            "$0\na = 1\nvalue = compute(first, second)",
            "b = 2\nvalue = compute(first, second)",
            "b = 2",
        ),
        ("$0\na = 1\nreturn value", "return value", "return value"),  # short lines come again
    ],
)
def test_a_model_that_does_not_infill_may_repeat_no_long_line(
    marked: str, text: str, kept: str
) -> None:
    at = cursor(marked)
    candidate = Candidate(parse(at.text, "python"), at.offset, text, infills=False)
    assert filters.repeats_suffix(candidate) == kept
    assert filters.repeats_suffix(replace(candidate, infills=True)) == text
