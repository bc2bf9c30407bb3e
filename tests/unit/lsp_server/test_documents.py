"""Edits and excerpts of open documents."""

from hypothesis import given
from hypothesis import strategies as st

from code_context.positions import LineIndex
from code_context.syntax import MAX_PARSED
from lsp_server.documents import BLOCK, LARGE, excerpt
from lsp_server.edits import range_edit, whole_document_edit

TEXTS = st.text(st.sampled_from("ab \t\n\r\f\v\u2028\u0085é😀"), max_size=30)


@given(text=TEXTS, new=TEXTS, data=st.data())
def test_edit_replaces_exactly_the_range(text, new, data):
    """An edit is applied at the client's range, whatever line separators the text contains."""
    lines = LineIndex(text)
    start, end = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=2)))
    for offset in (start, end):
        if text[offset - 1 : offset + 1] == "\r\n" and offset:
            return  # no LSP position is inside a line ending
    edit = range_edit(text, lines.to_utf16(start), lines.to_utf16(end), new)
    assert edit.applied_to(text) == text[:start] + new + text[end:]


@given(text=TEXTS, new=TEXTS)
def test_whole_document_change_is_the_smallest_edit(text, new):
    edit = whole_document_edit(text, new)
    assert edit.applied_to(text) == new
    if edit.inserted and edit.end > edit.start:
        assert text[edit.start] != edit.inserted[0]
        assert text[edit.end - 1] != edit.inserted[-1]


LARGE_TEXT = "".join(f"line {n:07}\n" for n in range(1_000_000))


@given(offset=st.integers(0, len(LARGE_TEXT)))
def test_excerpt_of_a_large_text_is_around_the_cursor(offset):
    part, at = excerpt(LARGE_TEXT, offset)
    assert len(part) <= 2 * (LARGE + BLOCK)
    assert len(part) > MAX_PARSED, "an excerpt must be too long to be parsed"
    for sign, length in ((-1, offset), (1, len(LARGE_TEXT) - offset)):
        near = min(length, LARGE)
        if sign < 0:
            assert part[at - near : at] == LARGE_TEXT[offset - near : offset]
        else:
            assert part[at : at + near] == LARGE_TEXT[offset : offset + near]


def test_typing_does_not_move_the_excerpt():
    offset = 6_000_004
    before, at = excerpt(LARGE_TEXT, offset)
    for typed in ("x", "xy", "xyz"):
        text = LARGE_TEXT[:offset] + typed + LARGE_TEXT[offset:]
        part, now = excerpt(text, offset + len(typed))
        assert (part[:at], part[now:], now) == (before[:at], before[at:], at + len(typed))


def test_excerpt_of_a_small_text_is_all_of_it():
    assert excerpt("abc", 2) == ("abc", 2)
