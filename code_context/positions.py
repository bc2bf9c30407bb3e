"""Conversion of positions, in this module only.

Inside Attune a position is an *offset*: the number of code points from the start of the text. LSP
uses (line, UTF-16 units), the command line 1-based (line, column), and tree-sitter UTF-8 bytes.
"""

import re
from bisect import bisect_left, bisect_right
from functools import cached_property
from itertools import accumulate

# the three line endings of the Language Server Protocol, unlike str.splitlines
LINE_ENDING = re.compile(r"\r\n|\n|\r")
LINE_ENDING_BYTES = re.compile(LINE_ENDING.pattern.encode())


class PositionError(ValueError):
    """A line or column is outside the text; the message names the valid range."""


def utf16_units(text: str) -> int:
    """The number of UTF-16 code units of `text`."""
    if text.isascii():
        return len(text)
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def code_points(text: str, units: int) -> int:
    """The number of code points in the first `units` UTF-16 units; half a pair counts as one."""
    if units <= 0:
        return 0
    if text.isascii():
        return min(units, len(text))
    encoded = text.encode("utf-16-le", "surrogatepass")[: 2 * units]
    return len(encoded.decode("utf-16-le", "replace"))


def utf8_bytes(text: str) -> int:
    """The number of UTF-8 bytes of `text`; a lone surrogate counts three, as in WTF-8."""
    return len(text.encode("utf-8", "surrogatepass"))


def _line_starts(text: str) -> list[int]:
    if "\r" in text:
        return [0, *(match.end() for match in LINE_ENDING.finditer(text))]
    # three times as fast as the expression, which matters in a text of many megabytes
    lengths = map(len, text.split("\n"))
    starts = [0, *accumulate(length + 1 for length in lengths)]
    return starts[:-1]


class LineIndex:
    """The line starts of one text, and conversions of positions in it."""

    def __init__(self, text: str, starts: list[int] | None = None) -> None:
        """`starts`: those of this text, where they are known."""
        self.text = text
        self.starts = _line_starts(text) if starts is None else starts

    def edited(self, start: int, end: int, inserted: str) -> "LineIndex":
        """The index of the text in which `inserted` replaces the offsets from `start` to `end`.

        Line endings are searched in what is inserted only. Lines above are copied, those below are
        moved, so that an edit costs little in a text of any length that is completed.
        """
        if start == end and not inserted:
            return self
        text = self.text[:start] + inserted + self.text[end:]
        changed_end = start + len(inserted)
        # from the character before, and up to the one behind, because two can be one line ending
        endings = LINE_ENDING.finditer(text, max(0, start - 1), changed_end + 1)
        above = self.starts[: max(1, bisect_left(self.starts, start))]
        changed = [match.end() for match in endings if match.end() <= changed_end]
        below = self.starts[bisect_right(self.starts, end) :]
        growth = changed_end - end
        return LineIndex(text, [*above, *changed, *map(growth.__add__, below)])

    @cached_property
    def byte_starts(self) -> list[int]:
        """The UTF-8 byte offset of every line start."""
        if self.text.isascii():
            return self.starts
        source = self.text.encode("utf-8", "surrogatepass")
        return [0, *(match.end() for match in LINE_ENDING_BYTES.finditer(source))]

    @property
    def line_count(self) -> int:
        """The number of lines; a text that ends with a line ending has an empty last line."""
        return len(self.starts)

    def line_of(self, offset: int) -> int:
        """The 0-based line that contains `offset`."""
        return bisect_right(self.starts, offset) - 1

    def content_end(self, line: int) -> int:
        """The offset of the end of a line, before its line ending."""
        if line + 1 == len(self.starts):
            return len(self.text)
        end = self.starts[line + 1]
        return end - 2 if self.text[end - 2 : end] == "\r\n" else end - 1

    def line_text(self, line: int) -> str:
        """The text of a line without its line ending."""
        return self.text[self.starts[line] : self.content_end(line)]

    def from_utf16(self, line: int, character: int) -> int:
        """The offset of an LSP position, clamped to the line and the text as LSP requires."""
        if line < 0:
            return 0
        if line >= len(self.starts):
            return len(self.text)
        start = self.starts[line]
        before = self.text[start : min(start + max(0, character), self.content_end(line))]
        count = code_points(before, character)
        # a position inside a pair is that of the pair
        return start + count - (utf16_units(before[:count]) > max(0, character))

    def to_utf16(self, offset: int) -> tuple[int, int]:
        """The LSP position (0-based line, UTF-16 character) of an offset."""
        line = self.line_of(offset)
        return line, utf16_units(self.text[self.starts[line] : offset])

    def from_editor(self, line: int, column: int) -> int:
        """The offset of a 1-based line and column (in code points), as editors show them.

        Raises `PositionError` if the text has no such line or column.
        """
        if not 1 <= line <= self.line_count:
            raise PositionError(f"line {line} does not exist; the file has {self.line_count} lines")
        start, end = self.starts[line - 1], self.content_end(line - 1)
        if not 1 <= column <= end - start + 1:
            raise PositionError(
                f"column {column} does not exist; line {line} ends at column {end - start + 1}"
            )
        return start + column - 1

    def to_byte(self, offset: int) -> int:
        """The UTF-8 byte offset of an offset."""
        line = self.line_of(offset)
        return self.byte_starts[line] + utf8_bytes(self.text[self.starts[line] : offset])

    def from_byte(self, byte: int) -> int:
        """The offset of a UTF-8 byte offset; inside a character, the character's start."""
        if self.text.isascii():
            return byte
        line = bisect_right(self.byte_starts, byte) - 1
        end = self.starts[line + 1] if line + 1 < len(self.starts) else len(self.text)
        encoded = self.text[self.starts[line] : end].encode("utf-8", "surrogatepass")
        kept = encoded[: byte - self.byte_starts[line]]
        while kept and (encoded[len(kept) :] or b"\0")[0] & 0xC0 == 0x80:
            kept = kept[:-1]
        return self.starts[line] + len(kept.decode("utf-8", "surrogatepass"))
