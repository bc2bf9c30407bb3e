"""After a mismatch, requests for the rest of the word wait for a pause."""

import pytest

from completion.backoff import Backoff

# typed letter by letter behind "x = "; the model's text where it is run; letters that wait
GOLDEN = [
    ("bar", {}, ""),
    ("bar", {"": "foo"}, "bar"),
    ("barbaric", {"": "foo", "barb": "x"}, "bar"),  # the limit counts letters, not mismatches
    ("barbaric", {"": "bad"}, "rba"),  # typed through to begin with
    ("barbaric", {"": "", "b": "", "ba": "ke"}, "rba"),  # an empty result is no mismatch
    ("a.bcd", {"": "foo", "a.": "foo"}, "abcd"),  # each word by itself
    ("a.bcd", {"": "foo", "a.": "bc"}, "a"),
    ("a bcd", {"": "foo", "a ": ""}, "a"),
    ("fé_1", {"": "bar"}, "fé_"),
]


@pytest.mark.parametrize(("typed", "texts", "expected"), GOLDEN)
def test_golden(typed: str, texts: dict[str, str], expected: str) -> None:
    backoff, waited = Backoff(), ""
    backoff.typed("a.py", "x = ", None)
    rest = texts.get("", "")
    backoff.suggested("a.py", rest)
    for n, letter in enumerate(typed):
        backoff.typed("a.py", f"x = {typed[:n]}", letter)
        if rest.startswith(letter) and len(rest) > 1:
            rest = rest[1:]  # the cache has it
        elif backoff.is_active("a.py"):
            waited, rest = waited + letter, ""
            continue
        else:
            rest = texts.get(typed[: n + 1], "")
        backoff.suggested("a.py", rest)
    assert waited == expected


def after_mismatch() -> Backoff:
    backoff = Backoff()
    backoff.suggested("a.py", "z")
    backoff.typed("a.py", "x = ", "a")
    assert backoff.is_active("a.py")
    return backoff


def test_each_file_has_its_own_word() -> None:
    backoff = after_mismatch()
    assert not backoff.is_active("b.py")
    backoff.typed("b.py", "", "x")
    assert backoff.is_active("a.py")


def test_another_change_resets_and_no_change_does_not() -> None:
    backoff = after_mismatch()
    backoff.typed("a.py", "x = a", "")
    assert backoff.is_active("a.py")
    backoff.typed("a.py", "x = ", None)
    assert not backoff.is_active("a.py")


def test_several_letters_at_once_are_counted_one_by_one() -> None:
    backoff = after_mismatch()
    backoff.typed("a.py", "x = a", "bcd")
    assert not backoff.is_active("a.py")
