"""The split of a repository's files into training, validation and test side."""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from code_context.shingles import shingles
from prompts import globs
from tuning.corpus import CorpusError, SourceFile

MIN_FILES = 4
# lines of #, //, * and ;, and C's block comments, as far as they stand before any code
HEADER = re.compile(r"(?:\s*+(?:(?:#|//|;|\*)[^\n]*+\n|/\*.*?\*/))+", re.DOTALL)
NEAR_DUPLICATE = 0.5  # of the smaller file's shingles are shared
VALIDATION_SHARE, TEST_SHARE = 0.08, 0.17
MAX_VALIDATION, MAX_TEST = 60, 200  # groups of near-duplicates


@dataclass(frozen=True)
class Split:
    """Files to tune on, to select the prompt by, and to prove it on."""

    train: tuple[SourceFile, ...]
    validation: tuple[SourceFile, ...]
    test: tuple[SourceFile, ...]

    @property
    def sizes(self) -> dict[str, int]:
        """The number of files of each side."""
        return {
            "train": len(self.train),
            "validation": len(self.validation),
            "test": len(self.test),
        }


def split(files: tuple[SourceFile, ...], seed: int, newest: Collection[str] = ()) -> Split:
    """Split by file; near-duplicates stay on one side.

    Files of the newest commits are proved on, as far as the test side has room for them. Any other
    file's side depends on its path and the seed alone, as far as the shares allow, so that adding
    files to a repository moves few others. Raises `CorpusError` for too few files.
    """
    groups = _groups(files)
    if len(groups) < MIN_FILES:
        raise CorpusError(
            "The repository has too few source files to hold some out for proof: "
            f"{len(groups)} without near-duplicates, and at least {MIN_FILES} are needed."
        )
    held_out = max(2, round(len(groups) * (VALIDATION_SHARE + TEST_SHARE)))
    for_validation = max(1, round(held_out * VALIDATION_SHARE / (VALIDATION_SHARE + TEST_SHARE)))
    for_test = min(held_out - for_validation, MAX_TEST)
    for_validation = min(for_validation, MAX_VALIDATION)
    new = set(newest)
    ordered = sorted(groups, key=lambda group: _draw(group[0].path, seed))
    first = [group for group in ordered if any(file.path in new for file in group)][:for_test]
    taken = {group[0].path for group in first}
    rest = [group for group in ordered if group[0].path not in taken]
    more = for_validation + for_test - len(first)
    return Split(
        train=_flat(rest[more:]),
        validation=_flat(rest[:for_validation]),
        test=_flat(first + rest[for_validation:more]),
    )


def included(files: Sequence[SourceFile], patterns: Sequence[str]) -> tuple[SourceFile, ...]:
    """The files that a prompt with these globs serves; without patterns, all.

    Raises `CorpusError` if no file matches.
    """
    if not patterns:
        return tuple(files)
    chosen = tuple(file for file in files if globs.matches(file.path, patterns))
    if not chosen:
        raise CorpusError(f"No file matches {' '.join(patterns)}; give a pattern that some do.")
    return chosen


def digest(path: str) -> str:
    """A short name for a file, so that a prompt file lists held-out files without their paths."""
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _flat(groups: list[list[SourceFile]]) -> tuple[SourceFile, ...]:
    return tuple(sorted((file for group in groups for file in group), key=lambda file: file.path))


def _without_licence(text: str) -> str:
    """The text without its leading comments: a common licence header does not make duplicates."""
    header = HEADER.match(text)
    return text[header.end() :] if header else text


def _groups(files: tuple[SourceFile, ...]) -> list[list[SourceFile]]:
    """Files joined with their near-duplicates, found through an index of shingles."""
    own = [shingles(_without_licence(file.text)) for file in files]
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
