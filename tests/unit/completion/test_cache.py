"""Which states the cache answers, and with what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion import cache as completion_cache
from completion.cache import CompletionCache
from completion.request import CompletionRequest, CompletionResult
from tests.conftest import cursor


def request(marked: str, path: str = "a.py", *, explicit: bool = False) -> CompletionRequest:
    at = cursor(marked)
    return CompletionRequest(at.text, path, at.offset, explicit)


CASES = [
    ("the same state", "x = $0\ny", "foo(1)", "x = $0\ny", "foo(1)"),
    ("typed through", "x = $0\ny", "foo(1)", "x = fo$0\ny", "o(1)"),
    ("typed over a line", "def f():$0", "\n    return 1", "def f():\n    $0", "return 1"),
    ("typed to the end", "x = $0", "foo", "x = foo$0", None),
    ("typed something else", "x = $0", "foo", "x = b$0", None),
    ("typed more than it said", "x = $0", "foo", "x = foob$0", None),
    ("deleted before it", "x = $0", "foo", "x =$0", None),
    ("another text behind", "x = $0\ny", "foo", "x = $0\nz", None),
    ("another text before", "a\nx = $0", "foo", "b\nx = $0", None),
    ("an editor's bracket", "f$0\ny", "(a, b)", "f($0)\ny", "a, b)"),
    ("an editor's bracket, typed on", "f$0\ny", "(a, b)", "f(a$0)\ny", ", b)"),
    ("two of an editor's brackets", "f$0", "([a])", "f([$0])", "a])"),
    ("an editor's quote", "f($0\ny", "'a')", "f('$0'\ny", "a')"),
    ("a bracket that the text does not close", "f$0\ny", "(a,", "f($0)\ny", None),
    ("a letter behind is no bracket", "f$0y", "(a, b)", "f(a$0zy", None),
]


@pytest.mark.parametrize(
    ("asked", "says", "now", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_states(asked: str, says: str, now: str, expected: str | None) -> None:
    cache = CompletionCache()
    cache.add(request(asked), CompletionResult(says))
    found = cache.find(request(now))
    assert (found and found.text) == expected


def test_silence_stands_for_its_own_state_and_not_for_who_asks() -> None:
    cache = CompletionCache()
    cache.add(request("x$0"), CompletionResult("", "nothing_to_add"))
    found = cache.find(request("x$0"))
    assert found is not None
    assert found.reason == "nothing_to_add"
    assert cache.find(request("x $0")) is None
    assert cache.find(request("x$0", explicit=True)) is None


@pytest.mark.parametrize(("now", "silent"), [("xa$0", True), ("xab$0", False), ("xb$0", False)])
def test_silence_lasts_while_what_was_withheld_is_typed(now: str, silent: bool) -> None:
    cache = CompletionCache()
    cache.add(request("x$0"), CompletionResult("", "breaks_parse", withheld="ab"))
    found = cache.find(request(now))
    assert (found is not None and found.reason == "breaks_parse") is silent


@pytest.mark.parametrize("reason", completion_cache.LASTING)
@pytest.mark.parametrize(
    ("now", "silent"),
    [
        ("s = 'as well$0'", True),
        ("s = 'as$0'", True),
        ("s = 'as'$0", False),  # the string may have ended
        ("s = 'a{$0'", False),  # code may have begun
        ("s = 'as\n$0'", False),
        ("s = 'a$0 x'", False),  # something else has changed
        ("s = '$0'", False),  # it may have begun just there
    ],
)
def test_a_string_or_a_comment_lasts_while_words_are_typed(
    reason: str, now: str, silent: bool
) -> None:
    cache = CompletionCache()
    cache.add(request("s = 'a$0'"), CompletionResult("", reason))
    assert cache.find(request("s = 'as$0'", explicit=True)) is None
    found = cache.find(request(now))
    assert (found is not None and found.reason == reason) is silent


def test_files_are_told_apart() -> None:
    cache = CompletionCache()
    cache.add(request("x$0"), CompletionResult("yz"))
    assert cache.find(request("x$0", "b.py")) is None
    assert cache.find(request("xy$0", "b.py")) is None


def test_partial_accept_then_undo_then_redo() -> None:
    """Every state on the way is answered by the one decode."""
    cache = CompletionCache()
    cache.add(request("return $0"), CompletionResult("self.path.open()"))
    for typed in ("self", "self.path", "self", "", "self.path.open("):
        found = cache.find(request(f"return {typed}$0"))
        assert found is not None
        assert typed + found.text == "self.path.open()"


TEXTS = st.text("ab", max_size=6)


@given(
    st.lists(st.tuples(TEXTS, st.sampled_from(["", "b"]), TEXTS), max_size=25), TEXTS,
    st.integers(1, 30),
)  # fmt: skip
def test_it_finds_what_a_list_would_find(
    known: list[tuple[str, str, str]], asked: str, limit: int
) -> None:
    """Against the plain definition: of the states that lead here, the latest stage wins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completion_cache, "MAX_ANSWERS", limit)
        cache, order = CompletionCache(), {}
        for before, behind, says in known:
            answer = CompletionResult(says, None if says else "nothing_to_add")
            cache.add(CompletionRequest(before + behind, "a", len(before)), answer)
            order.pop((before, behind), None)
            order[before, behind] = answer
        kept = dict(list(order.items())[-limit:])
        assert len(cache) == len(kept)
        for behind in ("", "b"):
            expected = None
            for size in range(len(asked), -1, -1):
                answer = kept.get((asked[:size], behind))
                typed = asked[size:]
                if answer is None or not answer.text.startswith(typed):
                    continue
                if answer.text[len(typed) :] or (not answer.text and not typed):
                    expected = answer.text[len(typed) :]
                    break
            found = cache.find(CompletionRequest(asked + behind, "a", len(asked)))
            assert (found and found.text) == expected


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion_cache, "MAX_CHARACTERS", 1000)
    cache = CompletionCache()
    for n in range(100):
        cache.add(request(f"{n:03}" + "x" * 90 + "$0"), CompletionResult("y"))
    assert cache._characters <= 1000
    assert 5 <= len(cache) <= 11
    assert cache.find(request("099" + "x" * 90 + "$0")) is not None
    assert cache.find(request("001" + "x" * 90 + "$0")) is None
    cache.clear()
    assert (len(cache), cache._characters) == (0, 0)
