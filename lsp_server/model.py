"""Open the completion model that the settings ask for, and follow its files.

It imports torch, so only the worker thread imports this module.
"""

import threading
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from code_model.language_model import ModelLoadError
from code_model.loading import load_model
from completion.completion_model import CompletionModel
from completion.errors import ModelUnavailableError
from completion.prompted_model import PromptedModel
from completion.status import Status, StatusKind, StatusListener
from lsp_server.index_client import IndexProgress
from lsp_server.prompt_watch import PromptWatch
from lsp_server.settings import Settings
from lsp_server.workspace_indexes import WorkspaceIndexes


def open_model(
    settings: Settings, roots: Sequence[Path], report: StatusListener
) -> CompletionModel:
    """Load the model, with the prompt of the settings or those of the repositories at `roots`.

    Raises `ModelUnavailableError` if the model cannot be loaded; `report` receives problems with
    prompts.
    """
    try:
        model = load_model()
    except ModelLoadError as error:
        raise ModelUnavailableError(str(error)) from error
    model.prepare()
    status = StatusWithProgress(report)
    prompted = PromptedModel(
        model,
        roots[0] if roots else None,
        status.set_status,
        named=None if settings.without_prompt else settings.prompt,
        trusted=settings.trusted,
        disabled="the settings say so" if settings.without_prompt else None,
        sureness=settings.sureness,
        retriever_for=WorkspaceIndexes(roots, status.set_progress, status.add_notice).retriever,
    )
    for root in roots[1:]:
        prompted.add_root(root)
    followed = weakref.ref(prompted)  # the watch must not keep the model alive
    watch = PromptWatch(
        lambda: set() if (model := followed()) is None else model.folders(),
        lambda: None if (model := followed()) is None else model.refresh(),
    )
    weakref.finalize(prompted, watch.stop)
    watch.start()
    return prompted


class StatusWithProgress:
    """Adds progress and problems of indexing to the status of the model.

    Any thread may call it.
    """

    def __init__(self, report: StatusListener) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._status: Status | None = None
        self._progress: IndexProgress | None = None
        self._notices: dict[str, StatusKind] = {}

    def set_status(self, status: Status) -> None:
        """Report a new status."""
        with self._lock:
            self._status = status
            self._send()

    def set_progress(self, progress: IndexProgress | None) -> None:
        """Report the last status again, with this progress."""
        with self._lock:
            self._progress = progress
            self._send()

    def add_notice(self, notice: str, kind: StatusKind) -> None:
        """Report the last status again, from now on with this sentence."""
        with self._lock:
            if notice not in self._notices:
                self._notices[notice] = kind
                self._send()

    def _send(self) -> None:
        status, progress = self._status, self._progress
        if status is None:
            return
        if progress is not None and status.kind == "Normal":
            message = status.message.rstrip(".")
            message += f" (indexing {progress.done} of {progress.total} files)."
            status = replace(status, busy=True, message=message)
        if self._notices:
            status = replace(status, message=" ".join((status.message, *self._notices)))
            if status.kind == "Normal" and "Warning" in self._notices.values():
                status = replace(status, kind="Warning")
        self._report(status)
