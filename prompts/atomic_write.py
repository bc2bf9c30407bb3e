"""Files written in one step: whoever looks sees the old file or the new one, whole."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` at `path`, whatever stood there before. Raises `OSError`; then nothing changed."""
    with _written_beside(path, data) as temporary:
        os.replace(temporary, path)
    _sync_folder(path.parent)


def create_file(path: Path, data: bytes) -> None:
    """Put `data` at `path` only if nothing is there: of several writers, one succeeds.

    Raises `FileExistsError`, or another `OSError`, as on a file system without hard links.
    """
    with _written_beside(path, data) as temporary:
        os.link(temporary, path)
    _sync_folder(path.parent)


@contextlib.contextmanager
def _written_beside(path: Path, data: bytes) -> Iterator[Path]:
    temporary = path.parent / f".attune-{secrets.token_hex(8)}.tmp"
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        yield temporary
    finally:
        # After a successful rename the name is gone already; after Ctrl-C it must go too.
        with contextlib.suppress(OSError):
            temporary.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the rename outlast a power cut where the system can; the file is whole either way."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
