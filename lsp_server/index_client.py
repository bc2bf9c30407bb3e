"""Workspace index client: has the index of a folder built and kept, and reads it.

The index process (`code_context.index_process`) writes the index file; this module only reads it.
It imports tree-sitter, so only the worker thread imports it.
"""

import logging
import sqlite3
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from code_context.file_listing import excluded_paths, ignore_file_versions
from code_context.index import RepositoryIndex
from code_context.index_store import index_file
from code_context.positions import LineIndex
from code_context.retrieval import Retriever
from code_context.secrets import is_secret_file
from completion.request import CompletionRequest
from completion.status import StatusKind
from lsp_server.index_supervisor import IndexSupervisor
from lsp_server.memory_index import MemoryIndex

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class IndexProgress:
    """Files indexed so far and files in all, while the first index is built."""

    done: int
    total: int


ProgressListener = Callable[[IndexProgress | None], None]
"""Receives the progress when it changes, None once the index is complete; on any thread."""


NoticeListener = Callable[[str, StatusKind], None]
"""Receives a lasting problem, in a sentence for the user, and how bad it is; on any thread."""

IN_MEMORY = "The repository index is kept in memory: its process cannot keep it on disk ({})."
NO_INDEX = "There is no repository index ({}): other files are not used."


class IndexReader:
    """Opens the index file of a folder, or the index in memory that has taken its place."""

    def __init__(self, file: Path) -> None:
        self.memory: MemoryIndex | None = None
        self._file = file
        self._retriever: Retriever | None = None
        self._source: object = None

    def open(self) -> Retriever | None:
        """The index, reopened if it was damaged or another one has taken its place."""
        if self.memory is not None:
            index = self.memory.latest()
            if index is not None and index is not self._source:
                self._retriever, self._source = Retriever(index), index
            return self._retriever
        try:
            inode = self._file.stat().st_ino
        except OSError:
            return self._retriever
        is_unusable = self._retriever is None or self._retriever.problem is not None
        if is_unusable or inode != self._source:
            try:
                index = RepositoryIndex(self._file, read_only=True)
            except (OSError, sqlite3.Error):  # the process is still creating it
                return None
            if self._retriever is not None:
                self._retriever.close()
            self._retriever, self._source = Retriever(index), inode
        return self._retriever


class OpenDocuments:
    """The open documents of a folder that may be shown in other files, by their path.

    An ignored one is not, and neither is one whose name says that it holds secrets. Whether a file
    is ignored is found out when it is opened, and again when an ignore file changes.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._is_excluded: dict[str, bool] = {}
        self._ignore_files: object = None

    def shown(self, documents: Mapping[str, str]) -> dict[str, str]:
        """Those of all open documents that may be shown."""
        ignore_files = ignore_file_versions(self._root, documents)
        if ignore_files != self._ignore_files:
            self._ignore_files = ignore_files
            self._is_excluded.clear()
        known = {path: self._is_excluded[path] for path in documents if path in self._is_excluded}
        if new := [path for path in documents if path not in known]:
            excluded = excluded_paths(self._root, new)
            known |= {path: path in excluded or is_secret_file(path) for path in new}
        self._is_excluded = known
        return {path: text for path, text in documents.items() if not known[path]}


class WorkspaceIndexClient:
    """Retrieval from the index of a folder, with the open documents in place of saved files.

    Its methods are called on the worker thread. The process ends with this object. If the process
    cannot run, the index is kept in the memory of the server.
    """

    def __init__(
        self,
        root: Path,
        on_progress: ProgressListener,
        on_notice: NoticeListener = lambda notice, kind: None,
    ) -> None:
        """Start the index process of the folder `root`."""
        self._root = root
        self._on_progress = on_progress
        self._on_notice = on_notice
        self._progress: IndexProgress | None = None
        self._reader = IndexReader(index_file(root))
        self._documents: Mapping[str, str] = {}
        self._open = OpenDocuments(root)
        self._lock = threading.Lock()
        self._is_closed = False
        # the threads must not keep this object alive
        receive, fall_back = weakref.WeakMethod(self._receive), weakref.WeakMethod(self._fall_back)
        self._supervisor = IndexSupervisor(
            root,
            lambda message: (call := receive()) and call(message),
            lambda reason: (call := fall_back()) and call(reason),
        )
        weakref.finalize(self, self._supervisor.stop)
        self._supervisor.start()

    def retriever(self, request: CompletionRequest) -> Retriever | None:
        """Retrieval at the time of a request; None while there is no index to read."""
        retriever = self._reader.open()
        if retriever is not None:
            line = LineIndex(request.text).line_of(request.offset)
            documents = self._documents if request.documents is None else request.documents
            if request.is_file:  # else the file of this path keeps its own text
                documents = {**documents, request.path: request.text}
            self._documents = documents
            shown = self._open.shown(self._documents)
            retriever.update_open_documents(shown, request.path, line)
        return retriever

    def close(self) -> None:
        """End the index process."""
        with self._lock:
            self._is_closed = True
        self._supervisor.stop()
        if self._reader.memory is not None:
            self._reader.memory.stop()

    def _fall_back(self, reason: str) -> None:
        """Keep the index in memory, on the supervisor's thread."""
        on_notice = self._on_notice
        with self._lock:
            if self._is_closed:
                return
            memory = MemoryIndex(
                self._root, lambda error: on_notice(NO_INDEX.format(error), "Warning")
            )
            weakref.finalize(self, memory.stop)
            memory.start()
            self._reader.memory = memory
        on_notice(IN_MEMORY.format(reason), "Warning")

    def _receive(self, message: dict[str, Any]) -> None:
        """Handle a message of the index process, on the supervisor's thread."""
        if notice := message.get("notice"):
            logger.warning("%s", notice)
        for notice in message.get("notices") or ():
            logger.warning("%s", notice)
            self._on_notice(notice, "Normal")
        done, total = message.get("done"), message.get("total")
        progress = None
        if isinstance(done, int) and isinstance(total, int) and done != total:
            progress = IndexProgress(done, total)
        if progress != self._progress:
            self._progress = progress
            self._on_progress(progress)
