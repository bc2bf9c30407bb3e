"""Edits of a document, converted from LSP's positions to code-point offsets."""

import re
from dataclasses import dataclass

from rapidfuzz.distance import Postfix, Prefix

from code_context.positions import LineIndex, utf16_units

SURROGATE = re.compile("[\ud800-\udfff]")

LspPosition = tuple[int, int]
"""Line and UTF-16 character, both from 0."""


class InvalidEditError(ValueError):
    """The range of an edit ends before it starts."""


@dataclass(frozen=True)
class Edit:
    """Replaces the code points from `start` to `end` by `inserted`."""

    start: int
    end: int
    inserted: str

    def applied_to(self, text: str) -> str:
        """`text` after the edit."""
        return text[: self.start] + self.inserted + text[self.end :]


def range_edit(lines: LineIndex, start: LspPosition, end: LspPosition, inserted: str) -> Edit:
    """The replacement of a range; positions behind a line or the text mean its end.

    A position inside a surrogate pair splits the pair, and halves that meet become one character
    again, as in an editor whose texts consist of UTF-16 units. Raises `InvalidEditError`.
    """
    if end < start:
        raise InvalidEditError
    text = lines.text
    first, last = lines.from_utf16(*start), lines.from_utf16(*end)
    if _splits_pair(lines, start, first):
        inserted = _halves(text[first])[0] + inserted
    if _splits_pair(lines, end, last):
        inserted += _halves(text[last])[1]
        last += 1
    if first and SURROGATE.match(text, first - 1):
        first -= 1
        inserted = text[first] + inserted
    if SURROGATE.match(text, last):
        inserted += text[last]
        last += 1
    return Edit(first, last, _with_whole_pairs(inserted))


def whole_document_edit(before: str, after: str) -> Edit:
    """The smallest edit that turns one text into another."""
    after = _with_whole_pairs(after)
    start = Prefix.similarity(before, after)
    tail = Postfix.similarity(before[start:], after[start:])
    return Edit(start, len(before) - tail, after[start : len(after) - tail])


def has_surrogates(text: str) -> bool:
    """Whether the text has a half of a surrogate pair."""
    return not text.isascii() and SURROGATE.search(text) is not None


def without_surrogates(text: str) -> str:
    """The text with U+FFFD for halves of pairs, which UTF-8 cannot encode; as long as before."""
    return text if text.isascii() else SURROGATE.sub("\ufffd", text)


def _splits_pair(lines: LineIndex, position: LspPosition, offset: int) -> bool:
    """Whether an LSP position is inside the character at `offset`, the position rounded down."""
    line, character = position
    if lines.text.isascii() or line >= lines.line_count or offset >= lines.content_end(line):
        return False
    return utf16_units(lines.text[lines.starts[line] : offset]) < character


def _halves(character: str) -> tuple[str, str]:
    units = character.encode("utf-16-be")
    high, low = (int.from_bytes(units[start : start + 2], "big") for start in (0, 2))
    return chr(high), chr(low)


def _with_whole_pairs(text: str) -> str:
    if not has_surrogates(text):
        return text
    encoded = text.encode("utf-16-le", "surrogatepass")
    return encoded.decode("utf-16-le", "surrogatepass")
