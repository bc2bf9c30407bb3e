"""Whether a file is still the one that was read."""

from pathlib import Path

FileVersion = tuple[int, int, int]
"""Time (ns), size (bytes) and inode."""


def file_version(path: Path) -> FileVersion | None:
    """Differs whenever the file is replaced or written; None without a file. Cheap."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
