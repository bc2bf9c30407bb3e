"""The source files of a repository that are tuned on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from code_context.languages import family_of, is_tunable, language_of
from code_context.source_files import MAX_BYTES, list_files, read_source


class CorpusError(Exception):
    """The repository cannot be tuned on; the message says what to do."""


@dataclass(frozen=True)
class SourceFile:
    """One readable source file; `path` is relative to the repository, with forward slashes."""

    path: str
    text: str


@dataclass(frozen=True)
class Corpus:
    """The source files of a repository, and how many others were left out for which reason.

    `notices` are sentences about folders that were not read.
    """

    root: Path
    files: tuple[SourceFile, ...]
    left_out: dict[str, int] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


def collect(repository: Path) -> Corpus:
    """Read the source files that `code_context.source_files` allows, of the language that most of
    the repository is written in (with its family: TypeScript is of JavaScript's).

    Raises `CorpusError` if there is no folder or nothing in it to tune on.
    """
    if not repository.is_dir():
        raise CorpusError(f"{repository} is not a folder; name the root of a repository.")
    files, left_out = [], Counter[str]()
    listed = list_files(repository, lambda path: is_tunable(language_of(path)))
    for path in _of_main_language(repository, listed.paths):
        text = read_source(repository, path)
        if isinstance(text, str):
            files.append(SourceFile(path, text))
        else:
            left_out[text.reason] += 1
    if not files:
        unreadable = f" ({_counted(left_out)})" if left_out else ""
        raise CorpusError(
            " ".join(
                (
                    f"There are no source files to tune on in {repository}{unreadable}; "
                    "name a repository that has some.",
                    *listed.notices,
                )
            )
        )
    return Corpus(repository.resolve(), tuple(files), dict(left_out), listed.notices)


def _of_main_language(repository: Path, listed: Sequence[str]) -> list[str]:
    """The files of the family with the most bytes; of equals, the first by name."""
    sizes, paths = Counter[str](), dict[str, list[str]]()
    for path in listed:
        family = family_of(path) or ""
        paths.setdefault(family, []).append(path)
        size = _size(repository / path)
        sizes[family] += size if size <= MAX_BYTES else 0
    return paths[min(paths, key=lambda family: (-sizes[family], family))] if paths else []


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _counted(left_out: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
