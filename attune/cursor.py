"""FILE:LINE:COL on the command line: a cursor position in a file."""

from dataclasses import dataclass
from pathlib import Path

from code_context.positions import LineIndex
from code_context.repository_root import find_repository_root
from code_context.source_text import UTF_16, UndecodableTextError, decode_source
from file_access.regular_file import read_regular_file

MAX_BYTES = 100_000_000  # larger files are data, and slow to read


class CursorPositionError(ValueError):
    """The argument is malformed or the file cannot be read; the message says what to do."""


@dataclass(frozen=True)
class CursorPosition:
    """A cursor in a file. `path` is relative to `root`; `offset` counts code points.

    `notice` is a sentence for the user if some bytes of the file could not be decoded.
    """

    root: Path
    path: str
    text: str
    offset: int
    notice: str | None = None


def read_cursor_position(argument: str) -> CursorPosition:
    """Parse FILE:LINE:COL, with line and column counted from 1, and read the file.

    Raises `CursorPositionError`; `code_context.positions.PositionError` if the file has no such
    line or column.
    """
    name, _, column = argument.rpartition(":")
    name, _, line = name.rpartition(":")
    if not name or not line.isdecimal() or not column.isdecimal():
        raise CursorPositionError(
            f"{argument!r} is not FILE:LINE:COL; write for example src/app.py:12:5."
        )
    path = Path(name).resolve()
    try:
        content = read_regular_file(path, MAX_BYTES)
    except OSError as error:
        raise CursorPositionError(
            f"{name} cannot be read ({error.strerror}); choose a source file."
        ) from error
    notice = None
    try:
        text = decode_source(content)
    except UndecodableTextError as error:
        if str(error) == UTF_16:
            raise CursorPositionError(f"{name} is {error}; save it as UTF-8.") from None
        text = content.decode("utf-8-sig", "replace")
        notice = f"{name} is {error}; invalid bytes are read as \N{REPLACEMENT CHARACTER}."
    root = find_repository_root(path)
    offset = LineIndex(text).from_editor(int(line), int(column))
    return CursorPosition(root, path.relative_to(root).as_posix(), text, offset, notice)
