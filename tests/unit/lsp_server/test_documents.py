"""Edits of open documents."""

from hypothesis import given
from hypothesis import strategies as st

from code_context.positions import LineIndex
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
    edit = range_edit(lines, lines.to_utf16(start), lines.to_utf16(end), new)
    assert edit.applied_to(text) == text[:start] + new + text[end:]


@given(text=TEXTS, new=TEXTS)
def test_whole_document_change_is_the_smallest_edit(text, new):
    edit = whole_document_edit(text, new)
    assert edit.applied_to(text) == new
    if edit.inserted and edit.end > edit.start:
        assert text[edit.start] != edit.inserted[0]
        assert text[edit.end - 1] != edit.inserted[-1]
