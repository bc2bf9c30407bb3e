"""The repository's files: which are read, and which side of the split each one stands on."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from code_context.languages import language_of
from code_context.selection import git, list_files, read_source
from code_context.shingles import shingles

TUNED_LANGUAGES = ("python",)  # what the default model was trained on
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
    """Read the source files that `code_context.selection` allows.

    Raises `CorpusError` if there is no folder or nothing in it to tune on.
    """
    if not repository.is_dir():
        raise CorpusError(f"{repository} is not a folder; name the root of a repository.")
    files, left_out = [], Counter[str]()
    for path in list_files(repository, lambda path: language_of(path) in TUNED_LANGUAGES).paths:
        read = read_source(repository / path)
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
    shown = git(repository, "rev-parse", "--verify", "-q", "HEAD")
    return shown.strip() if shown else None


def _counted(left_out: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))


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
