"""What became of a suggestion, told from the edits behind it."""

import heapq
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.outcomes import KEPT_AFTER_S, Kept, Outcomes, Settled, Source

URI = "file:///work/space/module.py"


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self._waiting = []
        self._number = itertools.count()

    def later(self, seconds, call):
        entry = [self.now + seconds, next(self._number), call]
        heapq.heappush(self._waiting, entry)
        return Timer(entry)

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        while self._waiting and self._waiting[0][0] <= self.now:
            call = heapq.heappop(self._waiting)[2]
            if call is not None:
                call()


class Timer:
    def __init__(self, entry) -> None:
        self._entry = entry

    def cancel(self) -> None:
        self._entry[2] = None


class Editor:
    """One document with a cursor and a suggestion at it."""

    def __init__(self, text: str = "", clock: Clock | None = None) -> None:
        before, _, after = text.partition("$0")
        self.text, self.cursor = before + after, len(before)
        self.clock = clock or Clock()
        self.told: list[Settled | Kept] = []
        tell = self.told.append
        self.outcomes = Outcomes(tell, tell, lambda: self.clock.now, self.clock.later)

    def offer(self, *texts: str) -> list[str]:
        ids = self.outcomes.offer(
            URI, self.cursor, self.cursor, list(texts), self.text, Source("python")
        )
        self.clock.pass_(1)
        return ids

    def type(self, text: str) -> None:
        for one in text:
            self.replace(self.cursor, self.cursor, one)

    def replace(self, start: int, end: int, text: str) -> None:
        self.text = self.text[:start] + text + self.text[end:]
        self.cursor = start + len(text)
        self.outcomes.edited(URI, start, end, text, self.text)

    def insert(self, text: str) -> None:
        self.replace(self.cursor, self.cursor, text)

    @property
    def settled(self) -> list[tuple[str, int]]:
        return [(one.how, one.taken) for one in self.told if isinstance(one, Settled)]

    @property
    def kept(self) -> list[tuple[int, int]]:
        return [(one.seconds, one.characters) for one in self.told if isinstance(one, Kept)]


def test_tab():
    """The whole text at once is an acceptance, and the command that follows counts no second."""
    editor = Editor("x = $0")
    (id_,) = editor.offer("value + 1")
    editor.insert("value + 1")
    editor.outcomes.accepted(id_)
    assert editor.settled == [("accepted", 9)]


def test_the_command_alone_is_enough():
    editor = Editor("$0")
    (id_,) = editor.offer("value")
    editor.outcomes.accepted(id_)
    assert editor.settled == [("accepted", 5)]


def test_typed_characters_are_not_taken():
    editor = Editor("$0")
    editor.offer("value")
    editor.type("va")
    editor.insert("lue")
    assert editor.settled == [("accepted", 3)]


def test_typed_through_to_the_end():
    editor = Editor("$0")
    editor.offer("value")
    editor.type("value;")
    assert editor.settled == [("typed", 0)]


def test_words_then_something_else():
    editor = Editor("$0")
    (id_,) = editor.offer("value + other")
    editor.insert("value")
    editor.outcomes.partially_accepted(id_, "value + other", 5)
    editor.type(" * 2")
    assert editor.settled == [("partially accepted", 5)]


def test_told_partial_acceptance_without_a_visible_one():
    """Such as a single character, which the edits show as typed."""
    editor = Editor("$0")
    (id_,) = editor.offer("(a)")
    editor.type("(")
    editor.outcomes.partially_accepted(id_, "(a)", 1)
    editor.type("b")
    assert editor.settled == [("partially accepted", 1)]


def test_told_partial_acceptance_before_its_edit():
    editor = Editor("$0")
    (id_,) = editor.offer("(a)")
    editor.outcomes.partially_accepted(id_, "(a)", 1)
    editor.type("(b")
    assert editor.settled == [("partially accepted", 1)]


def test_told_partial_acceptance_behind_what_was_typed():
    """The length counts from the item as it was sent last, and what was typed is not taken."""
    editor = Editor("$0")
    editor.offer("value(one)")
    editor.type("val")
    (id_,) = editor.offer("ue(one)")
    editor.insert("ue")
    editor.outcomes.partially_accepted(id_, "ue(one)", 2)
    editor.type("(")
    editor.outcomes.partially_accepted(id_, "ue(one)", 3)
    editor.outcomes.partially_accepted(id_, "ue(one)", 3)
    editor.type("x")
    assert editor.settled == [("partially accepted", 3)]


def test_a_single_character_that_was_accepted():
    """Only the client knows that it was not typed, and it says so behind the edit."""
    editor = Editor("f($0")
    (id_,) = editor.offer(")")
    editor.type(")")
    editor.outcomes.accepted(id_)
    editor.type(".")
    assert editor.settled == [("accepted", 1)]


def test_the_last_word_is_a_single_character():
    editor = Editor("f($0")
    (id_,) = editor.offer("one)")
    editor.insert("one")
    editor.outcomes.partially_accepted(id_, "one)", 3)
    editor.type(")")
    editor.outcomes.accepted(id_)
    editor.type(".")
    assert editor.settled == [("accepted", 4)]


def test_closing_looks_at_the_part_that_was_accepted_last():
    editor = Editor("$0")
    editor.offer("value + other")
    editor.insert("value")
    editor.outcomes.closed(URI)
    editor.clock.pass_(1000)
    assert editor.settled == [("partially accepted", 5)]
    assert editor.kept == [(seconds, 5) for seconds in KEPT_AFTER_S]


def test_something_else():
    editor = Editor("$0")
    editor.offer("value")
    editor.type("vo")
    assert editor.settled == [("rejected", 0)]


def test_a_glimpse_is_no_rejection():
    clock = Clock()
    editor = Editor("$0", clock)
    editor.offer("value")
    clock.now -= 0.9
    editor.type("x")
    assert editor.settled == [("dropped", 0)]


def test_told_rejection():
    editor = Editor("$0")
    (id_,) = editor.offer("value")
    editor.outcomes.rejected(id_)
    editor.outcomes.rejected(id_)
    assert editor.settled == [("rejected", 0)]


def test_pair_that_the_editor_closes_is_typing():
    editor = Editor("f$0")
    editor.offer("(a, b)")
    editor.insert("()")
    editor.cursor -= 1
    assert editor.settled == []
    editor.replace(editor.cursor, editor.cursor + 1, "a, b)")
    assert editor.settled == [("accepted", 5)]


def test_deletion_goes_back_in_the_suggestion():
    editor = Editor("$0")
    editor.offer("value")
    editor.type("val")
    editor.replace(1, 3, "")
    editor.insert("alue")
    assert editor.settled == [("accepted", 4)]


def test_what_goes_on_keeps_its_id():
    editor = Editor("x = $0")
    (first,) = editor.offer("value + 1")
    editor.type("va")
    assert editor.offer("lue + 1") == [first]
    assert editor.settled == []
    editor.insert("lue + 1")
    assert editor.settled == [("accepted", 7)]


def test_alternatives_keep_theirs():
    editor = Editor("$0")
    (first,) = editor.offer("value")
    second, again = editor.offer("other", "value")
    assert again == first != second
    editor.insert("other")
    assert [(one.id, one.how) for one in editor.told] == [(second, "accepted")]


def test_another_answer_at_the_same_place_drops_the_first():
    editor = Editor("$0")
    editor.offer("value")
    editor.offer("other")
    assert editor.settled == [("dropped", 0)]


def test_moving_away_rejects():
    editor = Editor("$0\nabc")
    editor.offer("value")
    editor.cursor = 4
    editor.offer("other")
    assert editor.settled == [("rejected", 0)]


@pytest.mark.parametrize(
    ("start", "end", "text"), [(0, 0, "import os\n"), (0, 1, ""), (5, 5, "zz")]
)
def test_edits_elsewhere_do_not_matter(start, end, text):
    editor = Editor("ab$0\ncd")
    editor.offer("value")
    cursor, before = editor.cursor, editor.text
    editor.replace(start, end, text)
    editor.cursor = cursor + (len(editor.text) - len(before) if start < cursor else 0)
    editor.insert("value")
    assert editor.settled == [("accepted", 5)]


def test_kept_characters():
    """Looked at three times; what is changed or deleted meanwhile does not count."""
    editor = Editor("ab$0\n")
    editor.offer("value = other")
    editor.insert("value = other")
    editor.clock.pass_(15)
    editor.type(" + more")
    editor.replace(0, 0, "# above\n")
    start = editor.text.index("other")
    editor.replace(start, start + 5, "mother")
    editor.clock.pass_(105)
    editor.replace(0, len(editor.text), "")
    editor.clock.pass_(480)
    assert editor.kept == [(15, 13), (120, 13), (600, 0)]


def test_closing_the_document_looks_at_once():
    editor = Editor("$0")
    editor.offer("value")
    editor.insert("value")
    editor.clock.pass_(15)
    editor.outcomes.closed(URI)
    editor.clock.pass_(1000)
    assert editor.kept == [(seconds, 5) for seconds in KEPT_AFTER_S]


EDITS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 5), st.text("value ()\n", max_size=6)),
    max_size=12,
)


@given(edits=EDITS, offers=st.lists(st.text("value ()\n", min_size=1, max_size=8), max_size=8))
def test_any_edits(edits, offers):
    """Every suggestion ends once, and neither taken nor kept goes beyond it."""
    editor = Editor("value$0(e)\n")
    for number, (start, length, text) in enumerate(edits):
        if number < len(offers):
            editor.offer(offers[number])
        start = min(start, len(editor.text))
        editor.replace(start, min(start + length, len(editor.text)), text)
    editor.outcomes.close()
    settled = {one.id: one for one in editor.told if isinstance(one, Settled)}
    assert len(settled) == len(editor.settled)
    assert all(0 <= one.taken <= one.offered for one in settled.values())
    for one in editor.told:
        if isinstance(one, Kept):
            assert 0 <= one.characters <= settled[one.id].offered
