"""What killed processes left behind: folders that nobody will finish."""

import shutil
import time
from pathlib import Path
from typing import Final

HOUR: Final = 3600.0
MADE_WITHIN: Final = 24 * HOUR
"""Whoever makes a folder of files that are there writes something to it in this time."""
RESUMED_WITHIN: Final = 30 * 24 * HOUR
"""For so long a download that was interrupted can go on."""


def remove_leftovers(folder: Path, pattern: str, seconds: float = MADE_WITHIN) -> None:
    """Delete the folders in `folder` with such a name that nothing was written to for so long."""
    oldest = time.time() - seconds
    for leftover in folder.glob(pattern):
        if leftover.is_symlink() or not leftover.is_dir():
            continue
        try:
            last = max(path.lstat().st_mtime for path in (leftover, *leftover.rglob("*")))
        except OSError:  # somebody else removes it
            continue
        if last < oldest:
            shutil.rmtree(leftover, ignore_errors=True)
