"""Which states the cache has a result for, and which."""

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
    ("typed beyond it", "x = $0", "foo", "x = foob$0", None),
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
    ("asked", "text", "now", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_states(asked: str, text: str, now: str, expected: str | None) -> None:
    cache = CompletionCache()
    cache.add(request(asked), CompletionResult(text))
    result = cache.find(request(now))
    assert (result and result.text) == expected


def test_an_empty_result_holds_for_its_own_state_and_not_for_an_explicit_request() -> None:
    cache = CompletionCache()
    cache.add(request("x$0"), CompletionResult("", "nothing_to_add"))
    result = cache.find(request("x$0"))
    assert result is not None
    assert result.reason == "nothing_to_add"
    assert cache.find(request("x $0")) is None
    assert cache.find(request("x$0", explicit=True)) is None


@pytest.mark.parametrize(("now", "empty"), [("xa$0", True), ("xab$0", False), ("xb$0", False)])
def test_an_empty_result_holds_while_the_withheld_text_is_typed(now: str, empty: bool) -> None:
    cache = CompletionCache()
    cache.add(request("x$0"), CompletionResult("", "breaks_parse", withheld="ab"))
    result = cache.find(request(now))
    assert (result is not None and result.reason == "breaks_parse") is empty


@pytest.mark.parametrize("reason", completion_cache.TEXT_REASONS)
@pytest.mark.parametrize(
    ("now", "empty"),
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
def test_inside_a_string_or_a_comment_an_empty_result_holds_while_words_are_typed(
    reason: str, now: str, empty: bool
) -> None:
    cache = CompletionCache()
    cache.add(request("s = 'a$0'"), CompletionResult("", reason))
    assert cache.find(request("s = 'as$0'", explicit=True)) is None
    result = cache.find(request(now))
    assert (result is not None and result.reason == reason) is empty


def test_each_file_has_its_own_results() -> None:
    cache = CompletionCache()
    cache.add(request("x$0"), CompletionResult("yz"))
    assert cache.find(request("x$0", "b.py")) is None
    assert cache.find(request("xy$0", "b.py")) is None


def test_partial_accept_then_undo_then_redo() -> None:
    """One result serves every state on the way."""
    cache = CompletionCache()
    cache.add(request("return $0"), CompletionResult("self.path.open()"))
    for typed in ("self", "self.path", "self", "", "self.path.open("):
        result = cache.find(request(f"return {typed}$0"))
        assert result is not None
        assert typed + result.text == "self.path.open()"


TEXTS = st.text("ab", max_size=6)


@given(
    st.lists(st.tuples(TEXTS, st.sampled_from(["", "b"]), TEXTS), max_size=25), TEXTS,
    st.integers(1, 30),
)  # fmt: skip
def test_it_finds_what_a_linear_search_finds(
    stored: list[tuple[str, str, str]], asked: str, limit: int
) -> None:
    """Reference: of the stored states that lead here, the one with the longest text wins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completion_cache, "MAX_RESULTS", limit)
        cache, order = CompletionCache(), {}
        for before, behind, text in stored:
            result = CompletionResult(text, None if text else "nothing_to_add")
            cache.add(CompletionRequest(before + behind, "a", len(before)), result)
            order.pop((before, behind), None)
            order[before, behind] = result
        kept = dict(list(order.items())[-limit:])
        assert len(cache) == len(kept)
        for behind in ("", "b"):
            expected = None
            for size in range(len(asked), -1, -1):
                earlier = kept.get((asked[:size], behind))
                typed = asked[size:]
                if earlier is None or not earlier.text.startswith(typed):
                    continue
                if earlier.text[len(typed) :] or (not earlier.text and not typed):
                    expected = earlier.text[len(typed) :]
                    break
            result = cache.find(CompletionRequest(asked + behind, "a", len(asked)))
            assert (result and result.text) == expected


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion_cache, "MAX_CHARACTERS", 1000)
    cache = CompletionCache()
    for n in range(100):
        cache.add(request(f"{n:03}" + "x" * 90 + "$0"), CompletionResult("y"))
    assert cache._characters <= 1000
    assert 5 <= len(cache) <= 11
    assert cache.find(request("099" + "x" * 90 + "$0")) is not None
    assert cache.find(request("001" + "x" * 90 + "$0")) is None


def test_another_version_of_the_model_has_other_results() -> None:
    cache = CompletionCache()
    cache.add(request("x$0"), CompletionResult("old"), 1)
    cache.add(request("y$0"), CompletionResult("other"), 7)  # of another repository, say
    assert cache.find(request("x$0"), 1) is not None
    assert cache.find(request("x$0"), 2) is None
    cache.add(request("x$0"), CompletionResult("old"), 1)  # its computation ended too late
    assert cache.find(request("x$0"), 2) is None
    cache.add(request("x$0"), CompletionResult("new"), 2)
    assert cache.find(request("x$0"), 2).text == "new"
    assert cache.find(request("y$0"), 7).text == "other"


@pytest.mark.parametrize(
    ("marked", "text", "ends", "known"),
    [
        ("x = $0", "foo", True, True),
        ("x = $0", "foo", False, False),
        ("if a$0", " and b:", True, False),  # a block may follow
        ("foo($0)", "a)", True, True),
    ],
)
def test_after_accepting_a_whole_unit_nothing_is_to_be_added(
    marked: str, text: str, ends: bool, known: bool
) -> None:
    cache, before = CompletionCache(), request(marked)
    cache.add(before, CompletionResult(text, ends=ends))
    result = cache.find(before.after_accepting(text))
    assert (result is not None and result.reason == "nothing_to_add") is known
