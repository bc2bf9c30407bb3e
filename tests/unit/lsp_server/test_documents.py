"""Paths and edits of open documents."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from code_context.positions import LineIndex
from lsp_server.documents import edit_of, relative_path


@pytest.mark.parametrize(
    ("path", "roots", "expected"),
    [
        ("/a/b/c.py", ["/a"], "b/c.py"),
        ("/a/b/c.py", ["/a", "/a/b"], "c.py"),
        ("/a/b/c.py", ["/a/b", "/a"], "c.py"),
        ("/ab/c.py", ["/a"], "c.py"),
        ("/a/b/c.py", [], "c.py"),
        ("Untitled-1", ["/a"], "Untitled-1"),
    ],
)
def test_relative_path(path, roots, expected):
    assert relative_path(path, [Path(root) for root in roots]) == expected


TEXTS = st.text(st.sampled_from("ab \t\n\r\f\v\u2028\u0085é😀"), max_size=30)


@given(text=TEXTS, new=TEXTS, data=st.data())
def test_edit_replaces_exactly_the_range(text, new, data):
    """Whatever separators a text holds, an edit lands where the client's range says."""
    lines = LineIndex(text)
    start, end = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=2)))
    for offset in (start, end):
        if text[offset - 1 : offset + 1] == "\r\n" and offset:
            return  # no LSP position stands inside a line ending
    positions = (types.Position(*lines.to_utf16(offset)) for offset in (start, end))
    change = types.TextDocumentContentChangePartial(types.Range(*positions), new)
    assert edit_of(text, change).applied_to(text) == text[:start] + new + text[end:]


@given(text=TEXTS, new=TEXTS)
def test_whole_document_change_is_the_smallest_edit(text, new):
    edit = edit_of(text, types.TextDocumentContentChangeWholeDocument(new))
    assert edit.applied_to(text) == new
    if edit.inserted and edit.end > edit.start:
        assert text[edit.start] != edit.inserted[0]
        assert text[edit.end - 1] != edit.inserted[-1]
