"""Atomic file writes: a reader sees the old file or the new one, never a part of either."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from io import BufferedWriter
from pathlib import Path


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` to `path`, replacing what is there. Raises `OSError`; then nothing changed."""
    with replacement(path) as stream:
        stream.write(data)


@contextlib.contextmanager
def replacement(path: Path) -> Iterator[BufferedWriter]:
    """A stream whose content replaces the file at `path` when the block ends without an error.

    Raises `OSError`; then nothing changed.
    """
    with _temporary(path.parent) as temporary:
        with temporary.open("xb") as stream:
            yield stream
            _flush(stream)
        os.replace(temporary, path)
    _sync_folder(path.parent)


def create_file(path: Path, data: bytes) -> None:
    """Write `data` to `path` only if nothing is there: of several writers, exactly one succeeds.

    Raises `FileExistsError`, or another `OSError`, as on a file system without hard links.
    """
    with _temporary(path.parent) as temporary:
        with temporary.open("xb") as stream:
            stream.write(data)
            _flush(stream)
        os.link(temporary, path)
    _sync_folder(path.parent)


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    """A free name in `folder`; whatever is there when the block ends is removed."""
    temporary = folder / f".attune-{secrets.token_hex(8)}.tmp"
    try:
        yield temporary
    finally:
        # After a successful rename the name is free already; after Ctrl-C it is not.
        with contextlib.suppress(OSError):
            temporary.unlink()


def _flush(stream: BufferedWriter) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Let the rename survive a power cut where the system allows it; the file is whole anyway."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
