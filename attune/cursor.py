"""FILE:LINE:COL on the command line: which text, and where in it."""

from dataclasses import dataclass
from pathlib import Path

from code_context.positions import LineIndex

MAX_BYTES = 100_000_000  # more is data, and reading it makes a person wait


class PlaceError(ValueError):
    """The place cannot be read; the message says what to write instead."""


@dataclass(frozen=True)
class Place:
    """A cursor in a file. `path` is relative to `root`; `offset` counts code points.

    `notice` says what of the file could not be read as it stands.
    """

    root: Path
    path: str
    text: str
    offset: int
    notice: str | None = None


def repository_root(path: Path) -> Path:
    """The nearest folder above with `.git` or `.attune`, else the file's own folder."""
    for folder in path.parents:
        if is_repository(folder):
            return folder
    return path.parent


def is_repository(folder: Path) -> bool:
    """Whether somebody made a folder the root of a repository."""
    return (folder / ".git").exists() or (folder / ".attune").is_dir()


def read_place(place: str) -> Place:
    """Read FILE:LINE:COL, line and column 1-based.

    Raises `PlaceError`, or `code_context.positions.PositionError` outside the text.
    """
    name, _, column = place.rpartition(":")
    name, _, line = name.rpartition(":")
    if not name or not line.isdecimal() or not column.isdecimal():
        raise PlaceError(f"{place!r} is not FILE:LINE:COL; write for example src/app.py:12:5.")
    path = Path(name).resolve()
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PlaceError(f"{name} is larger than {MAX_BYTES} bytes; choose a source file.")
        raw = path.read_bytes()
    except OSError as error:
        raise PlaceError(f"{name} cannot be read ({error.strerror}); check the path.") from error
    notice = None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "replace")
        notice = f"{name} is not UTF-8; what is not is read as \N{REPLACEMENT CHARACTER}."
    root = repository_root(path)
    offset = LineIndex(text).from_editor(int(line), int(column))
    return Place(root, path.relative_to(root).as_posix(), text, offset, notice)
