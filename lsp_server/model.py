"""Open the models that settings and repositories ask for, and follow their files.

It imports torch, so only the worker thread imports this module.
"""

import threading
import weakref
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from code_model.language_model import LanguageModel
from code_model.loading import load_model
from code_model.model_choice import ModelChoice
from code_model.model_resolution import choice_stamp, resolve_model
from completion.completion_model import RepositoryModel
from completion.model_pool import ModelPool, ModelResolution
from completion.prompted_model import PromptedModel
from completion.status import Status, StatusKind, StatusListener
from completion.team_model import TeamModel, TeamServerName
from lsp_server.index_client import IndexProgress
from lsp_server.prompt_watch import PromptWatch
from lsp_server.settings import Settings
from lsp_server.workspace_indexes import WorkspaceIndexes
from prompts.configuration import FOLDER
from prompts.user import user_folder


def open_model(settings: Settings, roots: Sequence[Path], report: StatusListener) -> ModelPool:
    """The models of the repositories at `roots`, with the prompt of the settings or their own.

    `report` receives problems with models and prompts; none of them is raised.
    """
    status = StatusWithProgress(report)
    indexes = WorkspaceIndexes(roots, status.set_progress, status.add_notice)

    def open_prompted(
        model: LanguageModel,
        root: Path | None,
        report: StatusListener,
        fit_model: LanguageModel | None = None,
    ) -> PromptedModel:
        model.prepare()
        return PromptedModel(
            model,
            root,
            report,
            fit_model=fit_model,
            named=None if settings.without_prompt else settings.prompt,
            trusted=settings.trusted,
            disabled="the settings say so" if settings.without_prompt else None,
            sureness=settings.sureness,
            retriever_for=indexes.retriever,
        )

    def open_choice(
        choice: ModelChoice, root: Path | None, report: StatusListener
    ) -> RepositoryModel:
        model = load_model(choice)
        if choice.server is None:
            return open_prompted(model, root, report)
        local = load_model(choice.on_this_machine)
        same = local if local.identity == model.identity else None
        fallback = choice.server.fallback_name or local.name
        name = TeamServerName(choice.server.host, fallback, choice.server.timeout_s)
        return TeamModel(
            partial(open_prompted, model, root, fit_model=same),
            partial(open_prompted, local, root),
            name,
            report,
        )

    resolution = ModelResolution(partial(resolve_model, settings.model), choice_stamp, _folders)
    pool = ModelPool(resolution, open_choice, roots, status.set_status)
    followed = weakref.ref(pool)  # the watch must not keep the models alive
    watch = PromptWatch(
        lambda: set() if (pool := followed()) is None else pool.folders(),
        lambda: None if (pool := followed()) is None else pool.refresh(),
    )
    weakref.finalize(pool, watch.stop)
    watch.start()
    return pool


def _folders(root: Path | None) -> set[Path]:
    """The folders whose files name the model of a repository."""
    return {user_folder()} if root is None else {user_folder(), root / FOLDER}


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
