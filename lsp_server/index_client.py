"""The other files of the workspace, for the engine thread: an index that another process keeps.

It imports tree-sitter, so only the engine thread imports this module.
"""

import json
import logging
import sqlite3
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO

from code_context.index import RepositoryIndex
from code_context.index_store import index_file
from code_context.positions import LineIndex
from code_context.retrieval import Retriever
from completion.request import CompletionRequest
from completion.status import Status, StatusListener

logger = logging.getLogger(__name__)

END_SECONDS = 5.0  # it needs half of one

Hear = Callable[[dict[str, object]], None]


class WorkspaceIndexClient:
    """Starts the index process for a folder and answers with what it has indexed so far.

    The engine thread owns it; `tell` may be called from any thread.
    """

    def __init__(self, root: Path, tell: StatusListener) -> None:
        """`tell` hears every status, with the progress of the first index behind its message."""
        self._file = index_file(root)
        self._tell = tell
        self._lock = threading.Lock()
        self._status: Status | None = None
        self._progress: str | None = None
        self._repository: Retriever | None = None
        self._file_number: int | None = None
        self._documents: dict[str, str] = {}
        command = [sys.executable, "-I", "-m", "code_context.index_process", str(root)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        weakref.finalize(self, _end, self._process)
        follow = weakref.WeakMethod(self._heard)
        threading.Thread(
            target=_listen, args=(self._process.stdout, follow), name="attune-index", daemon=True
        ).start()

    def tell(self, status: Status) -> None:
        """Send a status, and remember it for when only the progress changes."""
        with self._lock:
            self._status = status
            self._send()

    def repository(self, request: CompletionRequest) -> Retriever | None:
        """The other files at the time of a request; None while there is no index to read."""
        found = self._opened()
        if found is not None:
            lines = LineIndex(request.text)
            known = self._documents if request.documents is None else request.documents
            self._documents = {**known, request.path: request.text}
            found.update_open_documents(
                self._documents, request.path, lines.line_of(request.offset)
            )
        return found

    def close(self) -> None:
        """End the index process."""
        _end(self._process)

    def _opened(self) -> Retriever | None:
        """The index, opened again when the process has put another file in its place."""
        try:
            number = self._file.stat().st_ino
        except OSError:
            return self._repository
        broken = self._repository is None or self._repository.problem is not None
        if broken or number != self._file_number:
            try:
                index = RepositoryIndex(self._file, read_only=True)
            except sqlite3.Error:  # the process is just making it
                return None
            self._repository, self._file_number = Retriever(index), number
        return self._repository

    def _heard(self, message: dict[str, object]) -> None:
        done, total = message.get("done"), message.get("total")
        for notice in (message.get("notice"), *_texts(message.get("notices"))):
            if notice:
                logger.warning("%s", notice)
        with self._lock:
            busy = isinstance(total, int) and done != total
            progress = f"indexing {done} of {total} files" if busy else None
            if progress != self._progress:
                self._progress = progress
                self._send()

    def _send(self) -> None:
        status = self._status
        if status is None:
            return
        if self._progress is not None and status.kind == "Normal":
            message = f"{status.message.rstrip('.')} ({self._progress})."
            status = replace(status, busy=True, message=message)
        self._tell(status)


def _texts(values: object) -> list[object]:
    return values if isinstance(values, list) else []


def _listen(stdout: IO[bytes], follow: Callable[[], Hear | None]) -> None:
    """Until the process ends, or nobody is there to hear."""
    with stdout:
        for line in stdout:
            heard = follow()
            if heard is None:
                break
            heard(json.loads(line))
            del heard


def _end(process: "subprocess.Popen[bytes]") -> None:
    """It ends by itself when its stdin does; one that does not is killed, which harms no index."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
