"""Where a word has contradicted its suggestion, and the model waits for a pause."""

import pytest

from completion.backoff import Backoff

# typed letter by letter behind "x = "; what the model says where it is asked; where it is not
GOLDEN = [
    ("bar", {}, ""),
    ("bar", {"": "foo"}, "bar"),
    ("barbaric", {"": "foo", "barb": "x"}, "bar"),  # enough is known then, right or wrong
    ("barbaric", {"": "bad"}, "rba"),  # typed through to begin with
    ("barbaric", {"": "", "b": "", "ba": "ke"}, "rba"),  # silence is not contradicted
    ("a.bcd", {"": "foo", "a.": "foo"}, "abcd"),  # each word by itself
    ("a.bcd", {"": "foo", "a.": "bc"}, "a"),
    ("a bcd", {"": "foo", "a ": ""}, "a"),
    ("fé_1", {"": "bar"}, "fé_"),
]


@pytest.mark.parametrize(("typed", "says", "pauses"), GOLDEN)
def test_golden(typed: str, says: dict[str, str], pauses: str) -> None:
    doubts, waited = Backoff(), ""
    doubts.typed("a.py", "x = ", None)
    rest = says.get("", "")
    doubts.said("a.py", rest)
    for n, letter in enumerate(typed):
        doubts.typed("a.py", f"x = {typed[:n]}", letter)
        if rest.startswith(letter) and len(rest) > 1:
            rest = rest[1:]  # known already
        elif doubts.doubts("a.py"):
            waited, rest = waited + letter, ""
            continue
        else:
            rest = says.get(typed[: n + 1], "")
        doubts.said("a.py", rest)
    assert waited == pauses


def doubtful() -> Backoff:
    doubts = Backoff()
    doubts.said("a.py", "z")
    doubts.typed("a.py", "x = ", "a")
    assert doubts.doubts("a.py")
    return doubts


def test_files_are_told_apart() -> None:
    doubts = doubtful()
    assert not doubts.doubts("b.py")
    doubts.typed("b.py", "", "x")
    assert doubts.doubts("a.py")


def test_another_change_forgets_and_none_leaves_it() -> None:
    doubts = doubtful()
    doubts.typed("a.py", "x = a", "")
    assert doubts.doubts("a.py")
    doubts.typed("a.py", "x = ", None)
    assert not doubts.doubts("a.py")


def test_several_letters_at_once_count_as_such() -> None:
    doubts = doubtful()
    doubts.typed("a.py", "x = a", "bcd")
    assert not doubts.doubts("a.py")
