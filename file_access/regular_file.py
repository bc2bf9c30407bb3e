"""Read small regular files of folders that are not trusted.

A workspace can hold a named pipe, a link to a device, a socket or a sparse file of many gigabytes
under any name. Opening a pipe waits for a writer, and reading a device never ends. So whatever
reads a file of a workspace, or of the user's own folders, opens it here.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)  # a pipe that replaces the file after the check does not block
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class RefusedFileError(OSError):
    """The path names something else than a regular file of allowed size; `strerror` says what."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(errno.EINVAL, reason, str(path))


class FileTooLargeError(RefusedFileError):
    """The file has more bytes than allowed."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        super().__init__(path, f"larger than {max_bytes} bytes")


@contextmanager
def open_regular_file(
    path: Path, max_bytes: int, *, within: Path | None = None, follow_links: bool = True
) -> Iterator[BufferedReader]:
    """Open a regular file of at most `max_bytes` for reading.

    With `within`, links may not lead out of that folder. With `follow_links` false, the path itself
    may not be a link. Raises `OSError`: `RefusedFileError`, or as `os.open` does.
    """
    if "\0" in str(path):
        raise RefusedFileError(path, "a path cannot hold a null character")
    if within is not None and not _is_within(path, within):
        raise RefusedFileError(path, "a link leads out of its folder")
    # Before opening, because opening alone can have an effect on a device.
    _check(path, os.stat(path, follow_symlinks=follow_links), max_bytes)
    descriptor = os.open(path, _FLAGS | (0 if follow_links else getattr(os, "O_NOFOLLOW", 0)))
    with open(descriptor, "rb") as stream:
        _check(path, os.fstat(descriptor), max_bytes)  # it may have been replaced meanwhile
        yield stream


def read_regular_file(
    path: Path, max_bytes: int, *, within: Path | None = None, follow_links: bool = True
) -> bytes:
    """The bytes of a regular file; arguments and errors as for `open_regular_file`."""
    with open_regular_file(path, max_bytes, within=within, follow_links=follow_links) as stream:
        data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:  # it grew, or its file system states no sizes, as /proc
        raise FileTooLargeError(path, max_bytes)
    return data


def check_regular_file(path: Path, max_bytes: int) -> None:
    """Check what a library is about to open by its path. Raises as `open_regular_file` does."""
    with open_regular_file(path, max_bytes):
        pass


def _is_within(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except RuntimeError as error:  # a loop of links, before Python 3.13
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from error


def _check(path: Path, status: os.stat_result, max_bytes: int) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise RefusedFileError(path, "it is a link")
    if not stat.S_ISREG(status.st_mode):
        raise RefusedFileError(path, "it is a folder, a pipe or a device")
    if status.st_size > max_bytes:
        raise FileTooLargeError(path, max_bytes)
