"""The repository's files: which are read, and which side of the split each one stands on."""

import hashlib
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pathspec

from code_context.shingles import shingles
from code_context.syntax import language_of

MAX_BYTES = 256_000
MAX_LINE = 1_000  # characters; longer lines mean data or minified code
MIN_FILES = 4
NEAR_DUPLICATE = 0.5  # of the smaller file's shingles are shared
VALIDATION_SHARE, TEST_SHARE = 0.08, 0.17


class CorpusError(Exception):
    """The repository cannot be tuned on; the message says what to do."""


@dataclass(frozen=True)
class SourceFile:
    """One readable source file; `path` is relative to the repository, with forward slashes."""

    path: str
    text: str


@dataclass(frozen=True)
class Corpus:
    """The files of a repository that are read, and how many were left out for which reason."""

    root: Path
    files: tuple[SourceFile, ...]
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Split:
    """Files to tune on, to choose the best prompt by, and to prove it on."""

    train: tuple[SourceFile, ...]
    validation: tuple[SourceFile, ...]
    test: tuple[SourceFile, ...]


def collect(repository: Path) -> Corpus:
    """Read the source files that git knows or does not ignore; without git, that .gitignore allows.

    Raises `CorpusError` if there is no folder or nothing in it to tune on.
    """
    if not repository.is_dir():
        raise CorpusError(f"{repository} is not a folder; name the root of a repository.")
    files, left_out = [], Counter[str]()
    for path in sorted(_listed(repository)):
        if language_of(path) is None:
            continue
        read = _read(repository / path)
        if isinstance(read, str):
            files.append(SourceFile(path, read))
        else:
            left_out[read.reason] += 1
    if not files:
        unreadable = f" ({_counted(left_out)})" if left_out else ""
        raise CorpusError(
            f"There are no Python files to tune on in {repository}{unreadable}; "
            "name a repository that has some."
        )
    return Corpus(repository.resolve(), tuple(files), dict(left_out))


def split(files: tuple[SourceFile, ...], seed: int) -> Split:
    """Split by file; near-duplicates stay on one side.

    A file's side depends on its path and the seed alone, as far as the shares allow, so that
    adding files to a repository moves few others. Raises `CorpusError` for too few files.
    """
    groups = _groups(files)
    if len(groups) < MIN_FILES:
        raise CorpusError(
            f"{len(files)} Python files ({len(groups)} without near-duplicates) are too few to "
            f"hold some out for proof; a repository needs at least {MIN_FILES}."
        )
    ordered = sorted(groups, key=lambda group: _draw(group[0].path, seed))
    held_out = max(2, round(len(groups) * (VALIDATION_SHARE + TEST_SHARE)))
    for_validation = max(1, round(held_out * VALIDATION_SHARE / (VALIDATION_SHARE + TEST_SHARE)))
    sides = (ordered[held_out:], ordered[:for_validation], ordered[for_validation:held_out])
    train, validation, test = (
        tuple(sorted((file for group in side for file in group), key=lambda file: file.path))
        for side in sides
    )
    return Split(train, validation, test)


def commit_of(repository: Path) -> str | None:
    """The checked-out commit, None outside git or before the first commit."""
    shown = _git(repository, "rev-parse", "--verify", "-q", "HEAD")
    return shown.strip() if shown else None


@dataclass(frozen=True)
class _LeftOut:
    reason: str


def _read(path: Path) -> str | _LeftOut:
    try:
        if path.is_symlink() or not path.is_file():
            return _LeftOut("not a plain file")
        if path.stat().st_size > MAX_BYTES:
            return _LeftOut("too large")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        return _LeftOut("not UTF-8")
    except OSError:
        return _LeftOut("unreadable")
    if not text.strip():
        return _LeftOut("empty")
    if "\0" in text or max(map(len, text.splitlines()), default=0) > MAX_LINE:
        return _LeftOut("not hand-written")
    return text


def _counted(left_out: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))


def _git(repository: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(repository), *arguments], capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return os.fsdecode(done.stdout)


def _listed(repository: Path) -> Iterator[str]:
    known = _git(repository, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if known is not None:
        yield from {path for path in known.split("\0") if path}
        return
    ignore_file = repository / ".gitignore"
    lines = ignore_file.read_text("utf-8", "replace").splitlines() if ignore_file.is_file() else []
    ignored = pathspec.GitIgnoreSpec.from_lines(lines)
    for folder, folders, names in os.walk(repository):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = (Path(folder) / name).relative_to(repository).as_posix()
            if not ignored.match_file(path):
                yield path


def _groups(files: tuple[SourceFile, ...]) -> list[list[SourceFile]]:
    """Files joined with their near-duplicates, found through an index of shingles."""
    own = [shingles(file.text) for file in files]
    holders: dict[int, list[int]] = {}
    group_of = list(range(len(files)))

    def root(index: int) -> int:
        while group_of[index] != index:
            index = group_of[index]
        return index

    for index, hashes in enumerate(own):
        shared = Counter(other for shingle in hashes for other in holders.get(shingle, ()))
        for other, count in shared.items():
            if count > NEAR_DUPLICATE * min(len(hashes), len(own[other])):
                group_of[root(index)] = root(other)
        for shingle in hashes:
            holders.setdefault(shingle, []).append(index)
    groups: dict[int, list[SourceFile]] = {}
    for index, file in enumerate(files):
        groups.setdefault(root(index), []).append(file)
    return list(groups.values())


def _draw(path: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{path}".encode("utf-8", "surrogateescape")).digest()
