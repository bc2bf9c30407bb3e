"""Message framing of LSP's base protocol: header fields, an empty line, a body.

What cannot be framed is reported and skipped, and reading goes on at the next Content-Length field.
"""

import re
from collections.abc import AsyncIterator, Awaitable
from typing import Protocol

MAX_BODY_BYTES = 1 << 29
"""Bytes of the longest message that is read; a longer one is skipped."""

FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*(.*?)[ \t]*\r?\n", re.DOTALL)
"""A header field as HTTP defines it. Names of fields are read in any case."""
LENGTH_AFTER_GARBAGE = re.compile(rb"content-length[ \t]*:[ \t]*([0-9]+)[ \t]*\r?\n\Z", re.I)
LENGTH = re.compile(rb"[0-9]{1,18}")
CHARSET = re.compile(rb"charset[ \t]*=[ \t]*\"?([^\s;\"]+)", re.I)
UTF_8 = (b"utf-8", b"utf8")  # utf8 is in the specification for old clients


class FramingError(ValueError):
    """A message whose header is wrong. The message says what is wrong and contains no input."""


class Reader(Protocol):
    """The part of `asyncio.StreamReader` that is used."""

    def readline(self) -> Awaitable[bytes]:
        """The bytes up to and including the next line feed; none at the end of the stream."""

    def readexactly(self, n: int, /) -> Awaitable[bytes]:
        """The next `n` bytes; fewer, or `EOFError`, at the end of the stream."""


async def read_bodies(
    reader: Reader, max_bytes: int = MAX_BODY_BYTES
) -> AsyncIterator[bytes | FramingError]:
    """The bodies of all messages until the stream ends.

    A message with a wrong header, or with more than `max_bytes`, gives one `FramingError` instead.
    """
    header = _Header()
    while line := await _line(reader):
        if line.strip():
            header.add(line)
            continue
        if header.length is not None and header.length <= max_bytes:
            try:
                body = await reader.readexactly(header.length)
            except EOFError:
                return
            if len(body) < header.length:
                return
            yield body if header.is_utf8 else FramingError("The charset must be utf-8.")
            header = _Header()
        elif not header.is_empty:
            if not header.is_reported:
                yield FramingError(
                    "The header has no valid Content-Length."
                    if header.length is None
                    else f"A message may have at most {max_bytes} bytes."
                )
            header = _Header(is_reported=True)


async def _line(reader: Reader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:  # longer than the reader's limit; the reader has dropped it
        return b"?\n"


class _Header:
    """The header of one message, as far as it has been read."""

    def __init__(self, *, is_reported: bool = False) -> None:
        """`is_reported`: an error was reported, and no message has been read since."""
        self.length: int | None = None
        self.is_utf8 = True
        self.is_empty = True
        self.is_reported = is_reported

    def add(self, line: bytes) -> None:
        """Read a line. Unknown fields are ignored, as is a line that is no field."""
        self.is_empty = False
        field = FIELD.fullmatch(line)
        if field is None:
            # the body of a message with a wrong header, and behind it the next header
            if (match := LENGTH_AFTER_GARBAGE.search(line)) is not None:
                self._set_length(match[1])
        elif field[1].lower() == b"content-length":
            self._set_length(field[2])
        elif field[1].lower() == b"content-type":
            charset = CHARSET.search(field[2])
            self.is_utf8 = charset is None or charset[1].lower() in UTF_8

    def _set_length(self, digits: bytes) -> None:
        self.length = int(digits) if LENGTH.fullmatch(digits) else None
