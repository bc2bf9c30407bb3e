"""Suggestion outcomes from the edits that follow."""

import heapq
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.outcomes import RETENTION_S, Outcome, OutcomeTracker, Retention, Source

URI = "file:///work/space/module.py"


class Clock:
    """A clock that the test advances."""

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
        self.ended: list[Outcome] = []
        self.measured: list[Retention] = []
        self.tracker = OutcomeTracker(
            self.ended.append, self.measured.append, lambda: self.clock.now, self.clock.later
        )

    def suggest(self, *texts: str) -> list[str]:
        ids = self.tracker.track(
            URI, self.cursor, self.cursor, list(texts), self.text, Source("python")
        )
        self.clock.pass_(1)
        return ids

    def type(self, text: str) -> None:
        for character in text:
            self.replace(self.cursor, self.cursor, character)

    def replace(self, start: int, end: int, text: str) -> None:
        self.text = self.text[:start] + text + self.text[end:]
        self.cursor = start + len(text)
        self.tracker.edited(URI, start, end, text, self.text)

    def insert(self, text: str) -> None:
        self.replace(self.cursor, self.cursor, text)

    @property
    def outcomes(self) -> list[tuple[str, int]]:
        return [(outcome.kind, outcome.accepted_length) for outcome in self.ended]

    @property
    def retained(self) -> list[tuple[int, int]]:
        return [(retention.seconds, retention.characters) for retention in self.measured]


def test_a_line_without_a_suggestion_is_one_place():
    editor, source = Editor(), Source("python")
    for line in (3, 3, 4, 3):
        editor.tracker.not_shown(URI, line, source)
    assert editor.outcomes == [("not shown", 0)] * 3
    editor.suggest("value")
    editor.tracker.not_shown(URI, 3, source)  # the one before is still on the screen
    assert len(editor.ended) == 3
    editor.insert("other")
    editor.tracker.not_shown(URI, 3, source)
    assert editor.outcomes[3:] == [("rejected", 0), ("not shown", 0)]


def test_tab():
    """The whole text at once is an acceptance; the command that follows is not counted again."""
    editor = Editor("x = $0")
    (id_,) = editor.suggest("value + 1")
    editor.insert("value + 1")
    editor.tracker.accepted(id_)
    assert editor.outcomes == [("accepted", 9)]


def test_accept_command_alone_is_enough():
    editor = Editor("$0")
    (id_,) = editor.suggest("value")
    editor.tracker.accepted(id_)
    assert editor.outcomes == [("accepted", 5)]


def test_typed_characters_are_not_accepted_ones():
    editor = Editor("$0")
    editor.suggest("value")
    editor.type("va")
    editor.insert("lue")
    assert editor.outcomes == [("accepted", 3)]


def test_suggestion_typed_to_the_end():
    editor = Editor("$0")
    editor.suggest("value")
    editor.type("value;")
    assert editor.outcomes == [("typed", 0)]


def test_accepted_word_then_other_text():
    editor = Editor("$0")
    (id_,) = editor.suggest("value + other")
    editor.insert("value")
    editor.tracker.partially_accepted(id_, "value + other", 5)
    editor.type(" * 2")
    assert editor.outcomes == [("partially accepted", 5)]


def test_reported_partial_acceptance_that_looks_like_typing():
    """An edit of a single character counts as typed unless the client reports otherwise."""
    editor = Editor("$0")
    (id_,) = editor.suggest("(a)")
    editor.type("(")
    editor.tracker.partially_accepted(id_, "(a)", 1)
    editor.type("b")
    assert editor.outcomes == [("partially accepted", 1)]


def test_reported_partial_acceptance_before_its_edit():
    editor = Editor("$0")
    (id_,) = editor.suggest("(a)")
    editor.tracker.partially_accepted(id_, "(a)", 1)
    editor.type("(b")
    assert editor.outcomes == [("partially accepted", 1)]


def test_reported_partial_acceptance_after_typing():
    """The length counts from the item as it was sent last; typed characters are not accepted."""
    editor = Editor("$0")
    editor.suggest("value(one)")
    editor.type("val")
    (id_,) = editor.suggest("ue(one)")
    editor.insert("ue")
    editor.tracker.partially_accepted(id_, "ue(one)", 2)
    editor.type("(")
    editor.tracker.partially_accepted(id_, "ue(one)", 3)
    editor.tracker.partially_accepted(id_, "ue(one)", 3)
    editor.type("x")
    assert editor.outcomes == [("partially accepted", 3)]


def test_accepted_single_character():
    """Only the client knows that it was not typed; it reports that after the edit."""
    editor = Editor("f($0")
    (id_,) = editor.suggest(")")
    editor.type(")")
    editor.tracker.accepted(id_)
    editor.type(".")
    assert editor.outcomes == [("accepted", 1)]


def test_last_accepted_word_is_a_single_character():
    editor = Editor("f($0")
    (id_,) = editor.suggest("one)")
    editor.insert("one")
    editor.tracker.partially_accepted(id_, "one)", 3)
    editor.type(")")
    editor.tracker.accepted(id_)
    editor.type(".")
    assert editor.outcomes == [("accepted", 4)]


def test_closing_measures_the_part_accepted_last():
    editor = Editor("$0")
    editor.suggest("value + other")
    editor.insert("value")
    editor.tracker.closed(URI)
    editor.clock.pass_(1000)
    assert editor.outcomes == [("partially accepted", 5)]
    assert editor.retained == [(seconds, 5) for seconds in RETENTION_S]


def test_other_text_rejects():
    editor = Editor("$0")
    editor.suggest("value")
    editor.type("vo")
    assert editor.outcomes == [("rejected", 0)]


def test_suggestion_shown_too_briefly_is_not_rejected():
    clock = Clock()
    editor = Editor("$0", clock)
    editor.suggest("value")
    clock.now -= 0.9
    editor.type("x")
    assert editor.outcomes == [("ignored", 0)]


def test_reported_rejection_counts_once():
    editor = Editor("$0")
    (id_,) = editor.suggest("value")
    editor.tracker.rejected(id_)
    editor.tracker.rejected(id_)
    assert editor.outcomes == [("rejected", 0)]


def test_pair_that_the_editor_closes_counts_as_typed():
    editor = Editor("f$0")
    editor.suggest("(a, b)")
    editor.insert("()")
    editor.cursor -= 1
    assert editor.outcomes == []
    editor.replace(editor.cursor, editor.cursor + 1, "a, b)")
    assert editor.outcomes == [("accepted", 5)]


def test_deletion_steps_back_in_the_suggestion():
    editor = Editor("$0")
    editor.suggest("value")
    editor.type("val")
    editor.replace(1, 3, "")
    editor.insert("alue")
    assert editor.outcomes == [("accepted", 4)]


def test_continued_suggestion_keeps_its_id():
    editor = Editor("x = $0")
    (first,) = editor.suggest("value + 1")
    editor.type("va")
    assert editor.suggest("lue + 1") == [first]
    assert editor.outcomes == []
    editor.insert("lue + 1")
    assert editor.outcomes == [("accepted", 7)]


def test_alternatives_keep_their_ids():
    editor = Editor("$0")
    (first,) = editor.suggest("value")
    second, again = editor.suggest("other", "value")
    assert again == first != second
    editor.insert("other")
    assert [(outcome.id, outcome.kind) for outcome in editor.ended] == [(second, "accepted")]


def test_new_suggestion_at_the_same_place_replaces_the_first():
    editor = Editor("$0")
    editor.suggest("value")
    editor.suggest("other")
    assert editor.outcomes == [("ignored", 0)]


def test_moving_away_rejects():
    editor = Editor("$0\nabc")
    editor.suggest("value")
    editor.cursor = 4
    editor.suggest("other")
    assert editor.outcomes == [("rejected", 0)]


@pytest.mark.parametrize(
    ("start", "end", "text"), [(0, 0, "import os\n"), (0, 1, ""), (5, 5, "zz")]
)
def test_edits_elsewhere_do_not_matter(start, end, text):
    editor = Editor("ab$0\ncd")
    editor.suggest("value")
    cursor, before = editor.cursor, editor.text
    editor.replace(start, end, text)
    editor.cursor = cursor + (len(editor.text) - len(before) if start < cursor else 0)
    editor.insert("value")
    assert editor.outcomes == [("accepted", 5)]


def test_retained_characters():
    """Measured three times; characters that were changed or deleted do not count."""
    editor = Editor("ab$0\n")
    editor.suggest("value = other")
    editor.insert("value = other")
    editor.clock.pass_(15)
    editor.type(" + more")
    editor.replace(0, 0, "# above\n")
    start = editor.text.index("other")
    editor.replace(start, start + 5, "mother")
    editor.clock.pass_(105)
    editor.replace(0, len(editor.text), "")
    editor.clock.pass_(480)
    assert editor.retained == [(15, 13), (120, 13), (600, 0)]


def test_closing_the_document_measures_at_once():
    editor = Editor("$0")
    editor.suggest("value")
    editor.insert("value")
    editor.clock.pass_(15)
    editor.tracker.closed(URI)
    editor.clock.pass_(1000)
    assert editor.retained == [(seconds, 5) for seconds in RETENTION_S]


def test_closing_starts_no_timer():
    """At the end of the process there is no event loop that could run it."""
    editor = Editor("$0")
    editor.suggest("value + other")
    editor.insert("value")
    editor.tracker.close()
    assert editor.clock._waiting == []
    assert editor.retained == [(seconds, 5) for seconds in RETENTION_S]


EDITS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 5), st.text("value ()\n", max_size=6)),
    max_size=12,
)


@given(edits=EDITS, suggestions=st.lists(st.text("value ()\n", min_size=1, max_size=8), max_size=8))
def test_any_edits(edits, suggestions):
    """Every suggestion ends once, and no more is accepted or retained than it has."""
    editor = Editor("value$0(e)\n")
    ids = set()
    for number, (start, length, text) in enumerate(edits):
        if number < len(suggestions):
            ids.update(editor.suggest(suggestions[number]))
        start = min(start, len(editor.text))
        editor.replace(start, min(start + length, len(editor.text)), text)
    editor.tracker.close()
    lengths = {outcome.id: outcome.length for outcome in editor.ended}
    assert len(editor.ended) == len(lengths) == len(ids)
    assert all(0 <= outcome.accepted_length <= outcome.length for outcome in editor.ended)
    assert all(0 <= kept.characters <= lengths[kept.id] for kept in editor.measured)
    accepted = [outcome.id for outcome in editor.ended if outcome.accepted_length]
    assert sorted(kept.id for kept in editor.measured) == sorted(accepted * len(RETENTION_S))
