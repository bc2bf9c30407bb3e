"""Which files of a repository Attune reads: one rule for completion and for tuning.

Listed are the files that git tracks or does not ignore (without git: that no .gitignore excludes)
and that `.attuneignore` does not exclude. Of those, files are excluded with a reason if they are
not written by people (binary, minified, generated), too large, unreadable, or may hold a secret.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from code_context.file_listing import list_paths
from code_context.generated_code import is_generated
from code_context.secrets import detect_secret
from code_context.source_text import UndecodableTextError, decode_source, with_line_feeds
from file_access.regular_file import FileTooLargeError, RefusedFileError, read_regular_file

MAX_FILES = 100_000
MAX_BYTES = 256_000
MAX_LINE = 1_000  # characters; longer lines mean data or minified code
LFS_POINTER = "version https://git-lfs.github.com/spec/"
CONFLICT = re.compile(r"^<<<<<<< .*?^=======\s*$.*?^>>>>>>> ", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class ExcludedFile:
    """A file that is not used, and the reason in words."""

    reason: str


@dataclass(frozen=True)
class FileList:
    """Sorted paths relative to the root, with forward slashes.

    `dropped` counts the files beyond the maximum number; `notices` are sentences for the user about
    folders that are not read.
    """

    paths: tuple[str, ...]
    dropped: int = 0
    notices: tuple[str, ...] = ()


def list_files(
    root: Path, is_wanted: Callable[[str], bool], *, max_files: int = MAX_FILES
) -> FileList:
    """The files below `root` that are not ignored and for whose path `is_wanted` is true.

    Of more than `max_files`, those with the fewest folders in their path are kept.
    """
    listing = list_paths(root, lambda path: is_wanted(path) and _is_utf8(path))
    paths = sorted(listing.paths, key=lambda path: (path.count("/"), path))
    kept = tuple(sorted(paths[:max_files]))
    return FileList(kept, len(paths) - len(kept), listing.notices)


def read_source(root: Path, path: str) -> str | ExcludedFile:
    """The text of the source file at `path` below `root`, or why it is excluded.

    Its lines end with `\\n`.
    """
    try:
        content = read_regular_file(root / path, MAX_BYTES, within=root, follow_links=False)
    except FileTooLargeError:
        return ExcludedFile("too large")
    except (RefusedFileError, FileNotFoundError):
        return ExcludedFile("not a plain file")
    except OSError:
        return ExcludedFile("unreadable")
    try:
        text = decode_source(content)
    except UndecodableTextError as error:
        return ExcludedFile(str(error))
    reason = exclusion_reason(text)
    return with_line_feeds(text) if reason is None else ExcludedFile(reason)


def exclusion_reason(text: str) -> str | None:
    """Why a text is not used as context for other files; None if it may be used."""
    if not text.strip():
        return "empty"
    if "\0" in text:
        return "binary"
    if len(text) > MAX_BYTES:
        return "too large"
    if _has_long_line(text):
        return "minified or data"
    if is_generated(text):
        return "generated"
    if text.startswith(LFS_POINTER):
        return "Git LFS pointer"
    if "<<<<<<< " in text and CONFLICT.search(text) is not None:
        return "conflict markers"
    if detect_secret(text) is not None:
        return "may hold a secret"
    return None


def _has_long_line(text: str) -> bool:
    start = 0
    while len(text) - start > MAX_LINE:
        # jumping from line feed to line feed is many times faster than splitting the text
        end = text.rfind("\n", start, start + MAX_LINE + 1)
        if end < 0:
            return max(map(len, text.splitlines())) > MAX_LINE
        start = end + 1
    return False


def _is_utf8(path: str) -> bool:
    """Whether a path is UTF-8 on disk, which storing and printing it requires."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
