"""An index in memory, for a folder whose index process cannot run.

A thread of the server lists and reads the files; the worker thread reads copies of its index.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from code_context.index import RepositoryIndex
from code_context.index_follower import PERIODIC_PAUSE, POLL_PERIOD
from code_context.index_refresh import refresh
from completion.errors import describe

logger = logging.getLogger(__name__)


class MemoryIndex:
    """The index of a folder, brought up to date every ten seconds."""

    def __init__(self, root: Path, on_failure: Callable[[str], object]) -> None:
        """`on_failure` receives the reason if the folder cannot be indexed at all."""
        self._root = root
        self._on_failure = on_failure
        self._stopped = threading.Event()
        self._latest: RepositoryIndex | None = None
        self._thread = threading.Thread(target=self._run, name="attune-memory-index", daemon=True)

    def start(self) -> None:
        """Start indexing in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Stop at the next batch of files."""
        self._stopped.set()

    def latest(self) -> RepositoryIndex | None:
        """The newest copy, which the caller's thread may own; None before the first one."""
        return self._latest

    def _run(self) -> None:
        index = RepositoryIndex()
        try:
            while not self._stopped.is_set():
                start = time.monotonic()
                result = refresh(index, self._root, self._progress)
                if self._latest is None or result.indexed or result.removed:
                    self._latest = index.copy()
                    pause = POLL_PERIOD
                else:
                    pause = max(POLL_PERIOD, PERIODIC_PAUSE * (time.monotonic() - start))
                self._stopped.wait(pause)
        except _StoppedError:
            pass
        except Exception as error:
            logger.error("The folder cannot be indexed (%s).", describe(error))
            self._on_failure(describe(error))
        finally:
            index.close()

    def _progress(self, done: int, total: int) -> None:
        if self._stopped.is_set():
            raise _StoppedError


class _StoppedError(Exception):
    """Ends a refresh."""
