"""Golden cases of every rule: `$0` is the cursor, None leaves the suggestion as it is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_context.syntax import parse
from completion import filters
from completion.filters import Candidate
from completion.reasons import REASONS
from tests.conftest import cursor

CASES = {
    filters.repeats_suffix: [
        ("foo($0, b)", "a, b)", "a"),
        ("foo($0, b)", ", b)", ""),
        ("if $0:\n    pass", "x > 1:", "x > 1"),
        ("x = $0  # why", "1  # why", "1"),
        ("foo($0)", "a)", None),  # the edit's range takes the bracket in
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
        ("x = node + $0", "node + 1", None),  # with something between it may be meant
        ("x = test$0", "tests", None),  # a longer word is another one
        ("x = foo$0", "foo", None),  # short names repeat by chance
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
        ("x = $0", "1\n   y", None),  # the file says nothing about its unit
    ],
    filters.repetition_loop: [
        ("x = $0", "a.b.a.b.a.b.a.b.a.b.a.b", ""),
        ("x = $0", "foo(1, 1, 1, 1, 1, 1, 1, 1)", ""),
        ("def f():\n    $0", "a = 1\n    b = compute(a)\n" + "    c = compute(b)\n" * 3,
         "a = 1\n    b = compute(a)\n    c = compute(b)"),
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
        ("a = 1\n$0\nb = 2", "c = 1\nd e f", "c = 1"),
        ("def f():\n    $0\n", "return x y", ""),
        ("def f():\n    $0\n", "return x", None),
        ("foo($0)\n", "a b c", ""),
        ("foo($0)\n", "a, b", None),
    ],
}  # fmt: skip
FLAT = [(rule, *case) for rule, cases in CASES.items() for case in cases]


@pytest.mark.parametrize(
    ("rule", "marked", "says", "expected"), FLAT, ids=[case[0].__name__ for case in FLAT]
)
def test_golden(rule: filters.Rule, marked: str, says: str, expected: str | None) -> None:
    at = cursor(marked)
    kept = rule(Candidate(parse(at.text, "python"), at.offset, says))
    assert kept == (says if expected is None else expected)


def test_every_rule_has_cases_and_words() -> None:
    assert set(CASES) == set(filters.RULES)
    assert {rule.__name__ for rule in filters.RULES} <= set(REASONS)


def test_what_one_rule_leaves_the_next_one_sees() -> None:
    at = cursor("def f():\n    $0\n")
    text = "a = 1\n    b = (2))\n    c = 3"
    candidate = Candidate(parse(at.text, "python"), at.offset, text)
    assert filters.apply(candidate) == ("a = 1\n    b = (2)", None)
    silenced = Candidate(parse(at.text, "python"), at.offset, ") = 1")
    assert filters.apply(silenced) == ("", "unbalanced_brackets")


PIECES = st.lists(
    st.sampled_from(
        ["foo", "(", ")", "[", "]", " ", "\n", "\n    ", "\t", ":", "'", '"', "é", "1"]
    ),
    max_size=25,
).map("".join)


@given(PIECES, PIECES, PIECES, st.sampled_from(["python", None]))
@settings(deadline=None, max_examples=150)
def test_rules_only_ever_shorten(before: str, says: str, behind: str, language: str | None) -> None:
    """On any text: a beginning of the suggestion or a reason, and no error that was not there."""
    tree = parse(before + behind, language)
    kept, reason = filters.apply(Candidate(tree, len(before), says))
    assert says.startswith(kept)
    assert bool(kept) != bool(reason)


def test_an_unknown_language_is_not_parsed() -> None:
    text = "a = 1\n"
    assert filters.breaks_parse(Candidate(parse(text, None), 0, "x y z")) == "x y z"
