"""The indexes of all repositories of the workspace, one index process for each.

It imports tree-sitter, so only the worker thread imports it.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from code_context.repository_root import is_indexable
from code_context.retrieval import Retriever
from completion.request import CompletionRequest
from lsp_server.index_client import (
    IndexProgress,
    NoticeListener,
    ProgressListener,
    WorkspaceIndexClient,
)

MAX_INDEXES = 8
"""Index processes at a time; the least recently used one ends first."""


class WorkspaceIndexes:
    """Retrieval for each document from the index of its own repository.

    Its methods are called on the worker thread.
    """

    def __init__(
        self,
        roots: Iterable[Path],
        on_progress: ProgressListener,
        on_notice: NoticeListener = lambda notice, kind: None,
    ) -> None:
        """Start indexing `roots`. Other roots are added when one of their documents is completed.

        `on_progress` receives the progress of all indexes together, `on_notice` their problems.
        """
        self._on_progress = on_progress
        self._on_notice = on_notice
        self._lock = threading.Lock()
        self._progress: dict[Path, IndexProgress] = {}
        self._clients: OrderedDict[Path, WorkspaceIndexClient] = OrderedDict()
        for root in roots:
            self._client(root)

    def retriever(self, request: CompletionRequest) -> Retriever | None:
        """Retrieval for a request; None if its document is in no repository that is indexed."""
        client = None if request.root is None else self._client(request.root)
        return None if client is None else client.retriever(request)

    def close(self) -> None:
        """End all index processes."""
        while self._clients:
            self._clients.popitem()[1].close()

    def _client(self, root: Path) -> WorkspaceIndexClient | None:
        client = self._clients.get(root)
        if client is None:
            if not is_indexable(root):
                return None
            client = WorkspaceIndexClient(root, partial(self._report, root), self._on_notice)
            self._clients[root] = client
        self._clients.move_to_end(root)
        while len(self._clients) > MAX_INDEXES:
            oldest, closed = self._clients.popitem(last=False)
            closed.close()
            self._report(oldest, None)
        return client

    def _report(self, root: Path, progress: IndexProgress | None) -> None:
        """Pass on the sum of the progress of all indexes; called on any thread."""
        with self._lock:
            if progress is None:
                self._progress.pop(root, None)
            else:
                self._progress[root] = progress
            running = self._progress.values()
            done, total = sum(one.done for one in running), sum(one.total for one in running)
            self._on_progress(IndexProgress(done, total) if running else None)
