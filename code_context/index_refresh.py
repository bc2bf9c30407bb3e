"""Bring an index up to date with the files on disk; only changed files are read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from code_context.index import RepositoryIndex, Stamp
from code_context.languages import language_of
from code_context.source_files import FileList, list_files, read_source

BATCH = 200  # files per transaction

Progress = Callable[[int, int], None]
"""Called with the number of files done and the total."""


@dataclass(frozen=True)
class RefreshResult:
    """Numbers of files: listed, indexed again (of these, changed ones), removed.

    `notice` is a sentence for the user.
    """

    files: int
    indexed: int
    changed: int
    removed: int
    notice: str | None


def refresh(
    index: RepositoryIndex,
    root: Path,
    progress: Progress = lambda done, total: None,
    *,
    files: FileList | None = None,
) -> RefreshResult:
    """Bring the index up to date with the files below `root` (by default: all source files)."""
    files = files or list_files(root, lambda path: language_of(path) is not None)
    indexed = index.stamps()
    removed = indexed.keys() - set(files.paths)
    stale: list[tuple[str, Stamp]] = []
    for path in files.paths:
        stamp = _stamp(root / path)
        if stamp is None:
            if path in indexed:
                removed.add(path)
        elif indexed.get(path) != stamp:
            stale.append((path, stamp))
    total = len(stale)
    for start in range(0, total, BATCH):
        progress(start, total)
        with index.transaction():
            for path, stamp in stale[start : start + BATCH]:
                index.store(path, read_source(root, path), stamp)
    with index.transaction():
        for path in removed:
            index.remove(path)
    progress(total, total)
    changed = sum(path in indexed for path, _ in stale)
    return RefreshResult(len(files.paths), total, changed, len(removed), _notice(files))


def refresh_file(index: RepositoryIndex, root: Path, path: str) -> None:
    """Index one file again, or remove it if it no longer exists."""
    stamp = _stamp(root / path)
    with index.transaction():
        if stamp is None:
            index.remove(path)
        else:
            index.store(path, read_source(root, path), stamp)


def _stamp(file: Path) -> Stamp | None:
    try:
        status = file.lstat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _notice(files: FileList) -> str | None:
    if not files.dropped:
        return " ".join(files.notices) or None
    dropped = (
        f"The repository has {files.dropped + len(files.paths)} source files; only the "
        f"{len(files.paths)} with the fewest folders in their path are indexed. Exclude folders in "
        ".attuneignore."
    )
    return " ".join((dropped, *files.notices))
