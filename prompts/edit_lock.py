"""A lock around an edit of a file: of several processes, each sees what the one before wrote."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from prompts.errors import ConfigurationError
from prompts.user import user_folder

LOCK_SECONDS = 10.0


@contextmanager
def edit_lock(path: Path) -> Iterator[None]:
    """Hold the lock of the file at `path`; another process that holds it is waited for.

    The locks are in the user's folder, so that a repository gets no file of its own for them; a
    user who cannot have one edits without a lock. Raises `ConfigurationError` after `LOCK_SECONDS`.
    """
    name = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()
    folder = user_folder() / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{name[:32]}.lock", timeout=LOCK_SECONDS)
        lock.acquire()
    except Timeout as error:
        raise ConfigurationError(
            f"{path} is being changed by another process; wait until it has ended and try again."
        ) from error
    except OSError:  # no home folder, or a read-only one
        yield
        return
    try:
        yield
    finally:
        lock.release()
