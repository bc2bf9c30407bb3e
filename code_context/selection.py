"""Which files of a repository Attune reads: one answer for completing and for tuning.

Read is what git knows or does not ignore (without git, what every .gitignore on the way allows) and
`.attuneignore` does not name. Left out, with a reason, is what a person has not written (binary,
minified, generated), what is huge or unreadable, and what may hold a secret.
"""

import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pathspec

from code_context.secrets import secret_in

MAX_FILES = 100_000
MAX_BYTES = 256_000
MAX_LINE = 1_000  # characters; longer lines mean data or minified code
IGNORE_FILE = ".attuneignore"
HEAD = 2_000  # characters in which a file says that it is generated
GENERATED = re.compile(
    r"^\s*(#|//|/?\*|--|;|\"\"\").*"
    r"(@generated\b|\bdo not (edit|modify)\b|\bauto-?generated (by|from|file|code)\b"
    r"|\b(file|code|module) (is|was|has been) (auto\w*-?)?generated\b)",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True)
class LeftOut:
    """A file that is not read, and why in words."""

    reason: str


@dataclass(frozen=True)
class Listing:
    """Paths relative to the root, with forward slashes, sorted; `dropped` counts those too many."""

    paths: tuple[str, ...]
    dropped: int = 0


def list_files(root: Path, wanted: Callable[[str], bool], *, max_files: int = MAX_FILES) -> Listing:
    """The files below `root` that nobody ignores and whose path is `wanted`.

    Of more than `max_files` the least deep ones are kept.
    """
    known = _git_files(root)
    paths = known if known is not None else _walk(root)
    ignored = _rules(root / IGNORE_FILE)
    kept = sorted(
        path
        for path in paths
        if wanted(path)
        and _is_text(path)
        and not (ignored is not None and ignored.match_file(path))
    )
    if len(kept) > max_files:
        kept.sort(key=lambda path: (path.count("/"), path))
        return Listing(tuple(sorted(kept[:max_files])), len(kept) - max_files)
    return Listing(tuple(kept))


def read_source(path: Path) -> str | LeftOut:
    """The text of a source file, or why it is left out."""
    try:
        status = path.lstat()
    except OSError:
        return LeftOut("not a plain file")
    if not stat.S_ISREG(status.st_mode):
        return LeftOut("not a plain file")
    if status.st_size > MAX_BYTES:
        return LeftOut("too large")
    try:
        content = path.read_bytes()
    except OSError:
        return LeftOut("unreadable")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return LeftOut("not UTF-8")
    return reason_to_leave_out(text) or text


def reason_to_leave_out(text: str) -> LeftOut | None:
    """Why a text is not used as context for other files, None if it may be."""
    if not text.strip():
        return LeftOut("empty")
    if "\0" in text:
        return LeftOut("binary")
    if len(text) > MAX_BYTES:
        return LeftOut("too large")
    if _has_long_line(text):
        return LeftOut("minified or data")
    if _says_generated(text):
        return LeftOut("generated")
    if secret_in(text) is not None:
        return LeftOut("may hold a secret")
    return None


def _has_long_line(text: str) -> bool:
    at = 0
    while len(text) - at > MAX_LINE:
        # in most files a hop from line feed to line feed tells in a fraction of the time
        end = text.rfind("\n", at, at + MAX_LINE + 1)
        if end < 0:
            return max(map(len, text.splitlines())) > MAX_LINE
        at = end + 1
    return False


def _says_generated(text: str) -> bool:
    head = text[:HEAD].lower()
    words = "generated" in head or "do not" in head  # cheaper than the expression
    return words and GENERATED.search(text, 0, HEAD) is not None


def git(root: Path, *arguments: str) -> str | None:
    """What a git command prints, None if it fails. Nothing that the repository configures runs."""
    quiet = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *quiet, *arguments],
            capture_output=True,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return os.fsdecode(done.stdout)


def _is_text(path: str) -> bool:
    """Whether a path is UTF-8 on disk, as everything that stores or shows it expects."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _git_files(root: Path) -> list[str] | None:
    listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return None if listed is None else [path for path in set(listed.split("\0")) if path]


def _rules(file: Path) -> pathspec.GitIgnoreSpec | None:
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    return pathspec.GitIgnoreSpec.from_lines(filter(is_pattern, lines))


def is_pattern(line: str) -> bool:
    """Whether a line means something to gitignore; git passes over one that does not ("!")."""
    try:
        pathspec.GitIgnoreSpec.from_lines([line])
    except (ValueError, re.error):
        return False
    return True


def _walk(
    root: Path, folder: str = "", outer: tuple[tuple[str, pathspec.GitIgnoreSpec], ...] = ()
) -> Iterator[str]:
    """Files that no .gitignore names; links and hidden folders are not entered."""
    here = _rules(root / folder / ".gitignore")
    rules = outer if here is None else (*outer, (folder, here))
    try:
        entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        path = folder + entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        marked = path + "/" if is_folder else path
        if any(spec.match_file(marked[len(base) :]) for base, spec in rules):
            continue
        if not is_folder:
            yield path
        elif not entry.name.startswith("."):
            yield from _walk(root, marked, rules)
