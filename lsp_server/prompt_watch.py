"""Watches folders for changed prompt files and routes, so that no request has to read them.

An event is only a hint: the callback reads the files itself, and is called at times without an
event. A missed event therefore costs time, never correctness.
"""

import atexit
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from completion.errors import describe

logger = logging.getLogger(__name__)

CHECK_PERIOD = 60.0
"""Seconds between calls without an event."""
POLL_PERIOD = 10.0
"""The same where the system cannot report all changes."""

# Without the events of reading, because the callback reads.
CHANGES: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]


class PromptWatch(FileSystemEventHandler):
    """Calls `changed` on its own thread after changes in `folders()`, which need not exist yet.

    Changes during a call lead to one more call.
    """

    def __init__(self, folders: Callable[[], set[Path]], changed: Callable[[], object]) -> None:
        self._folders = folders
        self._changed = changed
        self._observer: BaseObserver | None = None
        self._is_incomplete = False
        self._watches: dict[Path, ObservedWatch] = {}
        self._deleted: SimpleQueue[Path] = SimpleQueue()
        self._wake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="attune-watch", daemon=True)

    def start(self) -> None:
        """Start watching. Where the system cannot report changes, they are searched for."""
        try:
            observer = Observer()
            observer.start()
            self._observer = observer
        except (OSError, RuntimeError) as error:  # a limit on inotify instances or threads
            self._set_incomplete(error)
        try:
            self._update_watches()
        except OSError as error:  # a folder that may not be read
            self._set_incomplete(error)
        try:
            self._thread.start()
        except RuntimeError as error:  # prompts are still checked at each request
            logger.warning("Prompt folders are not watched (%s).", describe(error))
            return
        # `changed` may load a model: in torch, a thread that Python ends at exit aborts the process
        atexit.register(self._end)

    def stop(self) -> None:
        """Stop watching. A running call of `changed` is not interrupted."""
        self._stopped = True
        self._wake.set()

    def _end(self) -> None:
        self.stop()
        self._thread.join()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Wake the thread. Called by watchdog on the observer's thread."""
        if isinstance(event, DirDeletedEvent | DirMovedEvent):
            # The watch of a deleted folder must be renewed even if a new folder has its name.
            self._deleted.put(Path(os.fsdecode(event.src_path)))
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait(POLL_PERIOD if self._is_incomplete else CHECK_PERIOD)
            self._wake.clear()
            if self._stopped:
                if self._observer is not None:
                    self._observer.stop()  # on this thread, which alone changes the watches
                return
            try:
                # Watch first, so that no change between reading and watching is missed.
                self._update_watches()
                self._changed()
            except Exception as error:
                logger.error("Changed files could not be processed (%s).", describe(error))

    def _set_incomplete(self, error: Exception) -> None:
        if not self._is_incomplete:
            self._is_incomplete = True
            logger.warning(
                "Prompt folders cannot be watched (%s); they are searched every ten seconds.",
                describe(error),
            )

    def _update_watches(self) -> None:
        """Watch the folders that exist, and the closest existing parent of each.

        The parent reports that a folder was created.
        """
        if self._observer is None:
            return
        wanted = {
            path
            for folder in self._folders()
            for path in (folder, _closest_existing(folder.parent))
            if path.is_dir()
        }
        deleted = {self._deleted.get() for _ in range(self._deleted.qsize())}
        for folder in [path for path in self._watches if path not in wanted or path in deleted]:
            self._observer.unschedule(self._watches.pop(folder))
        for folder in wanted - self._watches.keys():
            try:
                self._watches[folder] = self._observer.schedule(
                    self, str(folder), event_filter=CHANGES
                )
            except (OSError, RuntimeError) as error:  # a limit, or deleted meanwhile
                if folder.is_dir():
                    self._set_incomplete(error)


def _closest_existing(folder: Path) -> Path:
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder
