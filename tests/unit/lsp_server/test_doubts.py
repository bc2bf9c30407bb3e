"""When a word has contradicted its suggestions so often that the model waits for a pause."""

import pytest

from lsp_server.doubts import Doubts

# typed letter by letter behind "x = "; what the model says where it is asked; where it is not
GOLDEN = [
    ("foo", {}, ""),
    ("foobar", {"": "foo("}, ""),  # typed through, then once contradicted
    ("bar", {"": "foo"}, ""),
    ("barbarous", {"": "foo", "b": "eta"}, "ar"),
    ("barbarous", {"": "foo", "b": "eta", "barb": "x"}, "arar"),
    ("barbarous", {"": "foo", "b": "", "ba": "ke"}, "rb"),  # silence is not contradicted
    ("barbarous", {"": "foo", "b": "eta", "barb": "arous"}, "ar"),
    ("a.bc", {"": "foo", "a": "foo", "a.": "foo", "a.b": "foo"}, "c"),  # each word by itself
    ("foo_1", {"": "bar", "f": "ar"}, "oo"),
    ("fé1", {"": "bar", "f": "ar"}, "é1"),
]


@pytest.mark.parametrize(("typed", "says", "pauses"), GOLDEN)
def test_golden(typed: str, says: dict[str, str], pauses: str) -> None:
    doubts, rest, waited = Doubts(), "", ""
    doubts.typed("a.py", "x = ", None)
    for n in range(len(typed) + 1):
        before = typed[: n - 1] if n else ""
        if n:
            doubts.typed("a.py", f"x = {before}", typed[n - 1])
        if n and rest.startswith(typed[n - 1]) and len(rest) > 1:
            rest = rest[1:]  # known already
        elif doubts.doubts("a.py"):
            waited += typed[n - 1]
            continue
        else:
            rest = says.get(typed[:n], "")
        doubts.said("a.py", rest)
    assert waited == pauses


def doubtful() -> Doubts:
    doubts = Doubts()
    for letter in "abc":
        doubts.said("a.py", "z")
        doubts.typed("a.py", "x = " + "abc".partition(letter)[0], letter)
    assert doubts.doubts("a.py")
    return doubts


def test_files_are_told_apart() -> None:
    doubts = doubtful()
    assert not doubts.doubts("b.py")
    doubts.typed("b.py", "", "x")
    assert doubts.doubts("a.py")


def test_another_change_forgets_and_none_leaves_it() -> None:
    doubts = doubtful()
    doubts.typed("a.py", "x = abc", "")
    assert doubts.doubts("a.py")
    doubts.typed("a.py", "x = ab", None)
    assert not doubts.doubts("a.py")


def test_several_letters_at_once_count_as_such() -> None:
    doubts = doubtful()
    doubts.typed("a.py", "x = abc", "de")
    assert not doubts.doubts("a.py")
