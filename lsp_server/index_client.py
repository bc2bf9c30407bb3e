"""Workspace index client: starts the index process of a folder and reads its index.

The index process (`code_context.index_process`) writes the index file; this module only reads it.
It imports tree-sitter, so only the worker thread imports it.
"""

import json
import logging
import sqlite3
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from code_context.index import RepositoryIndex
from code_context.index_store import index_file
from code_context.positions import LineIndex
from code_context.retrieval import Retriever
from completion.request import CompletionRequest

logger = logging.getLogger(__name__)

EXIT_TIMEOUT_S = 5.0
"""The index process exits within half a second unless it hangs."""


@dataclass(frozen=True)
class IndexProgress:
    """Files indexed so far and files in all, while the first index is built."""

    done: int
    total: int


ProgressListener = Callable[[IndexProgress | None], None]
"""Receives the progress when it changes, None once the index is complete; on any thread."""


class WorkspaceIndexClient:
    """Retrieval from the index of a folder, with the open documents in place of saved files.

    Its methods are called on the worker thread. The process ends with this object.
    """

    def __init__(self, root: Path, on_progress: ProgressListener) -> None:
        """Start the index process of the folder `root`."""
        self._file = index_file(root)
        self._on_progress = on_progress
        self._progress: IndexProgress | None = None
        self._retriever: Retriever | None = None
        self._inode: int | None = None
        self._documents: Mapping[str, str] = {}
        command = [sys.executable, "-I", "-m", "code_context.index_process", str(root)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        weakref.finalize(self, _stop, self._process)
        receiver = weakref.WeakMethod(self._receive)  # the thread must not keep this object alive
        threading.Thread(
            target=_listen, args=(self._process.stdout, receiver), name="attune-index", daemon=True
        ).start()

    def retriever(self, request: CompletionRequest) -> Retriever | None:
        """Retrieval at the time of a request; None while there is no index to read."""
        retriever = self._open()
        if retriever is not None:
            line = LineIndex(request.text).line_of(request.offset)
            documents = self._documents if request.documents is None else request.documents
            if request.is_file:  # else the file of this path keeps its own text
                documents = {**documents, request.path: request.text}
            self._documents = documents
            retriever.update_open_documents(self._documents, request.path, line)
        return retriever

    def close(self) -> None:
        """End the index process."""
        _stop(self._process)

    def _open(self) -> Retriever | None:
        """The index, reopened if it was damaged or the process has replaced its file."""
        try:
            inode = self._file.stat().st_ino
        except OSError:
            return self._retriever
        is_unusable = self._retriever is None or self._retriever.problem is not None
        if is_unusable or inode != self._inode:
            try:
                index = RepositoryIndex(self._file, read_only=True)
            except sqlite3.Error:  # the process is still creating it
                return None
            self._retriever, self._inode = Retriever(index), inode
        return self._retriever

    def _receive(self, message: dict[str, Any]) -> None:
        """Handle a message of the index process, on the listening thread."""
        for notice in (message.get("notice"), *(message.get("notices") or ())):
            if notice:
                logger.warning("%s", notice)
        done, total = message.get("done"), message.get("total")
        progress = None
        if isinstance(done, int) and isinstance(total, int) and done != total:
            progress = IndexProgress(done, total)
        if progress != self._progress:
            self._progress = progress
            self._on_progress(progress)


def _listen(
    stdout: IO[bytes], receiver: Callable[[], Callable[[dict[str, Any]], None] | None]
) -> None:
    """Pass on messages until the process ends or the client is gone."""
    with stdout:
        for line in stdout:
            receive = receiver()
            if receive is None:
                break
            receive(json.loads(line))
            del receive


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Close the process's stdin, which ends it; kill it if it hangs, which harms no index."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(EXIT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
