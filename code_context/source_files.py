"""Which files of a repository Attune reads: one rule for completion and for tuning.

Listed are the files that git tracks or does not ignore (without git: that no .gitignore excludes)
and that `.attuneignore` does not exclude. Of those, files are excluded with a reason if they are
not written by people (binary, minified, generated), too large, unreadable, or may hold a secret.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pathspec

from code_context.secrets import detect_secret
from code_context.source_text import UndecodableTextError, decode_source
from file_access.git import git
from file_access.regular_file import FileTooLargeError, RefusedFileError, read_regular_file

MAX_FILES = 100_000
MAX_BYTES = 256_000
MAX_LINE = 1_000  # characters; longer lines mean data or minified code
IGNORE_FILE = ".attuneignore"
GENERATED_HEAD = 2_000  # characters at the start of a file that are searched for GENERATED
GENERATED = re.compile(
    r"^\s*(#|//|/?\*|--|;|\"\"\").*"
    r"(@generated\b|\bdo not (edit|modify)\b|\bauto-?generated (by|from|file|code)\b"
    r"|\b(file|code|module) (is|was|has been) (auto\w*-?)?generated\b)",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True)
class ExcludedFile:
    """A file that is not used, and the reason in words."""

    reason: str


@dataclass(frozen=True)
class FileList:
    """Sorted paths relative to the root, with forward slashes.

    `dropped` counts the files beyond the maximum number.
    """

    paths: tuple[str, ...]
    dropped: int = 0


def list_files(
    root: Path, is_wanted: Callable[[str], bool], *, max_files: int = MAX_FILES
) -> FileList:
    """The files below `root` that are not ignored and for whose path `is_wanted` is true.

    Of more than `max_files`, those with the fewest folders in their path are kept.
    """
    git_files = _git_files(root)
    paths = git_files if git_files is not None else _walk(root)
    ignored = _ignore_rules(root / IGNORE_FILE)
    kept = sorted(
        path
        for path in paths
        if is_wanted(path)
        and _is_utf8(path)
        and not (ignored is not None and ignored.match_file(path))
    )
    if len(kept) > max_files:
        kept.sort(key=lambda path: (path.count("/"), path))
        return FileList(tuple(sorted(kept[:max_files])), len(kept) - max_files)
    return FileList(tuple(kept))


def read_source(path: Path) -> str | ExcludedFile:
    """The text of a source file, or why it is excluded."""
    try:
        content = read_regular_file(path, MAX_BYTES, follow_links=False)
    except FileTooLargeError:
        return ExcludedFile("too large")
    except RefusedFileError:
        return ExcludedFile("not a plain file")
    except OSError:
        return ExcludedFile("unreadable")
    try:
        text = decode_source(content)
    except UndecodableTextError as error:
        return ExcludedFile(str(error))
    reason = exclusion_reason(text)
    return text if reason is None else ExcludedFile(reason)


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
    if _is_marked_generated(text):
        return "generated"
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


def _is_marked_generated(text: str) -> bool:
    head = text[:GENERATED_HEAD].lower()
    may_match = "generated" in head or "do not" in head  # cheaper than the expression
    return may_match and GENERATED.search(text, 0, GENERATED_HEAD) is not None


def _is_utf8(path: str) -> bool:
    """Whether a path is UTF-8 on disk, which storing and printing it requires."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _git_files(root: Path) -> list[str] | None:
    output = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return None if output is None else [path for path in set(output.split("\0")) if path]


def _ignore_rules(file: Path) -> pathspec.GitIgnoreSpec | None:
    try:
        content = read_regular_file(file, MAX_BYTES)
    except OSError:
        return None
    lines = content.decode("utf-8", "replace").splitlines()
    return pathspec.GitIgnoreSpec.from_lines(filter(_is_pattern, lines))


def _is_pattern(line: str) -> bool:
    """Whether a line is valid in a .gitignore; like git, callers skip an invalid one ("!")."""
    try:
        pathspec.GitIgnoreSpec.from_lines([line])
    except (ValueError, re.error):
        return False
    return True


def _walk(
    root: Path, folder: str = "", outer: tuple[tuple[str, pathspec.GitIgnoreSpec], ...] = ()
) -> Iterator[str]:
    """Files that no .gitignore excludes; links and hidden folders are not followed.

    `outer` holds the rules of the folders above, each with its folder's path.
    """
    own_rules = _ignore_rules(root / folder / ".gitignore")
    rules = outer if own_rules is None else (*outer, (folder, own_rules))
    try:
        entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        path = folder + entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        pattern_path = path + "/" if is_folder else path
        if any(spec.match_file(pattern_path[len(base) :]) for base, spec in rules):
            continue
        if not is_folder:
            yield path
        elif not entry.name.startswith("."):
            yield from _walk(root, pattern_path, rules)
