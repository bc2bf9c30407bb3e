"""Wakes the server when a prompt file or a route changes on disk, so that no request waits for it.

An event is a hint and no more: what is the case, the woken code finds out from the files. A missed
event therefore costs time, never correctness.
"""

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

# Those of reading are left out: the woken code reads.
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
    """Calls `changed` on a thread of its own after changes in `folders`.

    A folder need not exist yet. Changes that come while `changed` runs are answered by one more
    call.
    """

    def __init__(self, folders: set[Path], changed: Callable[[], object]) -> None:
        self._folders = folders
        self._changed = changed
        self._observer: BaseObserver = Observer()
        self._watches: dict[Path, ObservedWatch] = {}
        self._gone: SimpleQueue[Path] = SimpleQueue()
        self._wake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="attune-watch", daemon=True)

    def start(self) -> None:
        """Watch from now on."""
        self._observer.start()
        self._follow()
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; a call of `changed` that is under way ends by itself."""
        self._stopped = True
        self._wake.set()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Wake the thread; called by watchdog on its own."""
        if isinstance(event, DirDeletedEvent | DirMovedEvent):
            # A watch stays with a folder that went, also when another takes its name.
            self._gone.put(Path(os.fsdecode(event.src_path)))
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._stopped:
                self._observer.stop()  # here, where no watch is being moved
                return
            # First, so that nothing happens unseen between the look and the watch.
            self._follow()
            try:
                self._changed()
            except Exception as error:
                logger.error("A change of files was not taken up (%s).", describe(error))

    def _follow(self) -> None:
        """Watch what exists of the folders, and what stands above them: they may come and go."""
        wanted = {
            folder
            for one in self._folders
            for folder in (one, _existing(one.parent))
            if folder.is_dir()
        }
        gone = {self._gone.get() for _ in range(self._gone.qsize())}
        for folder in [one for one in self._watches if one not in wanted or one in gone]:
            self._observer.unschedule(self._watches.pop(folder))
        for folder in wanted - self._watches.keys():
            try:
                self._watches[folder] = self._observer.schedule(
                    self, str(folder), event_filter=CHANGES
                )
            except OSError as error:  # gone again, or the system's limit on watches
                logger.warning("A prompt folder is not watched (%s).", error.strerror)


def _existing(folder: Path) -> Path:
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder
