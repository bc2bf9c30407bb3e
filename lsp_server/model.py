"""The engine behind the server: the frozen model with the prompt file of the moment.

It imports torch, so only the engine thread imports this module.
"""

import weakref
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from threading import Lock
from weakref import WeakMethod

from code_context.index_store import is_indexable
from code_context.languages import language_of
from code_context.retrieval import Retriever
from code_context.syntax import TreeCache
from code_model.cancel import StepCancelledError
from code_model.language_model import LanguageModel, ModelLoadError, Session
from code_model.loading import load_model
from completion.completion_model import CompletionModel, Computation
from completion.errors import ModelUnavailableError
from completion.pipeline import complete, warm
from completion.prompt_fit import PromptFitCheck
from completion.request import CompletionRequest, CompletionResult
from completion.status import Status, StatusListener
from lsp_server.index_client import WorkspaceIndexClient
from lsp_server.prompt_watch import PromptWatch
from lsp_server.settings import Settings
from prompts.file import PromptFile
from prompts.manifest import Manifest
from prompts.router import PromptRouter, RoutingResult

WARM_ENGINES = 3
"""Engines that keep their caches: a few documents with different prompts, in turns."""


def open_model(settings: Settings, root: Path | None, tell: StatusListener) -> CompletionModel:
    """Load the model and the prompt that the settings name, else the one of the folder `root`.

    Raises `ModelUnavailableError` if the model cannot be loaded; a prompt that cannot be used is
    reported.
    """
    try:
        base = load_model()
    except ModelLoadError as error:
        raise ModelUnavailableError(str(error)) from error
    base.prepare()
    neighbours = (
        WorkspaceIndexClient(root, tell) if root is not None and is_indexable(root) else None
    )
    model = AttunedModel(
        base,
        None if settings.without_prompt else settings.prompt,
        root,
        tell if neighbours is None else neighbours.tell,
        trusted=settings.trusted,
        without="the settings say so" if settings.without_prompt else None,
        neighbours=neighbours,
    )
    follow = WeakMethod(model.refresh)  # the watch must not keep the model alive
    watch = PromptWatch(model.folders(), lambda: (refresh := follow()) and refresh())
    weakref.finalize(model, watch.stop)
    watch.start()
    return model


class AttunedModel(CompletionModel):
    """Completes each document with the prompt that is for it, as the files are at that moment.

    A prompt that nobody named in the settings leaves out files that it does not fit. Its lock lets
    one thread at a time use the model.
    """

    def __init__(
        self,
        base: LanguageModel,
        named: Path | None,
        root: Path | None,
        tell: StatusListener,
        *,
        trusted: bool = True,
        without: str | None = None,
        neighbours: WorkspaceIndexClient | None = None,
    ) -> None:
        """In a workspace that is not `trusted`, its prompts need the user's consent.

        `without` says why no prompt is to serve at all, None where one may. `neighbours` knows the
        other files of the folder.
        """
        self._without = without
        self._weighs = named is None and without is None
        self._fitting = PromptFitCheck(base)
        self._misfits = 0  # counts the times that a prompt ceased or began to serve a document
        self._neighbours = neighbours
        self._trees = TreeCache()
        self._base = base
        self._tell = tell
        self._told: Status | None = None
        self._refreshed: RoutingResult | None = None
        self._lock = Lock()
        self._engines: OrderedDict[str | None, Session] = OrderedDict()
        self._prompts = PromptRouter(
            root, named, accept=self._engine, model=base.identity, trusted=trusted
        )
        self.refresh()

    def refresh(self) -> None:
        """Take up changed files before a request needs them."""
        with self._lock:
            choice = self._allowed(self._prompts.refresh())
            self._engine(choice.prompt)
            if choice != self._refreshed:  # else the status of the last document holds
                self._refreshed = choice
                self._chosen(choice)

    def folders(self) -> set[Path]:
        """Where a change of files may matter."""
        return self._prompts.folders()

    def version(self) -> Hashable:
        """Differs whenever a file has changed that decides about prompts, or a prompt was found
        not to fit a document."""
        return self._misfits, self._prompts.stamp()

    def complete(self, request: CompletionRequest, computation: Computation) -> CompletionResult:
        """The text to insert at the cursor, or why there is none."""
        with self._lock:
            chosen = self._prompt_for(request)
            first, second = (None, chosen) if request.without_prompt else (chosen, None)
            found = self._completed(first, request, computation)
            others: tuple[str, ...] | None = None
            if request.explicit and found.reason != "cancelled":
                texts = (
                    () if chosen is None else (self._completed(second, request, computation).text,)
                )
                others = tuple(text for text in texts if text not in ("", found.text))
        return replace(found, prompt=_identity(chosen), alternatives=others)

    def _completed(
        self, prompt: PromptFile | None, request: CompletionRequest, computation: Computation
    ) -> CompletionResult:
        return complete(
            self._engine(prompt),
            request.text,
            request.path,
            request.offset,
            explicit=request.explicit,
            repository=self._other_files(request),
            trees=self._trees,
            cancelled=computation.cancelled,
            progress=computation.update,
        )

    def warm(self, request: CompletionRequest, computation: Computation) -> None:
        """Compute the keys and values of the place's context."""
        with self._lock:
            warm(
                self._engine(None if request.without_prompt else self._prompt_for(request)),
                request.text,
                request.path,
                request.offset,
                repository=self._other_files(request),
                trees=self._trees,
                cancelled=computation.cancelled,
            )

    def check_fit(self, request: CompletionRequest, computation: Computation) -> None:
        """Find out whether the document's prompt fits it, unless that is known."""
        with self._lock:
            prompt = self._choice(request, asked_anew=True).prompt
            if not self._weighs or prompt is None or not self._fitting.is_due(prompt, request):
                return
            try:
                changed = self._fitting.look(prompt, request, computation.cancelled)
            except StepCancelledError:
                return
            if changed:
                self._misfits += 1
                self._prompt_for(request)
        if changed:
            self.warm(request, computation)

    def _other_files(self, request: CompletionRequest) -> Retriever | None:
        return None if self._neighbours is None else self._neighbours.repository(request)

    def _prompt_for(self, request: CompletionRequest) -> PromptFile | None:
        return self._chosen(self._choice(request))

    def _choice(self, request: CompletionRequest, *, asked_anew: bool = False) -> RoutingResult:
        """The prompt for the document; `asked_anew`: one may serve that did not fit it when it was
        another text."""

        def misfit(prompt: PromptFile) -> str | None:
            if asked_anew and self._fitting.is_due(prompt, request):
                return None
            return self._fitting.misfit(prompt, request)

        path = request.path
        return self._allowed(self._prompts.choose(path, language_of(path), misfit))

    def _allowed(self, choice: RoutingResult) -> RoutingResult:
        return choice if self._without is None else RoutingResult(None, self._without)

    def _chosen(self, choice: RoutingResult) -> PromptFile | None:
        """The prompt of a choice; a status that differs from the last one is told."""
        status = _status(choice)
        if status != self._told:
            self._told = status
            self._tell(status)
        return choice.prompt

    def _engine(self, prompt: PromptFile | None) -> Session:
        """The engine behind this prompt; the last few stay warm.

        Raises `prompts.errors.IncompatiblePrompt`.
        """
        key = None if prompt is None else prompt.sha256
        engine = self._engines.get(key)
        if engine is None:
            engine = self._engines[key] = self._base.open(prompt)
        self._engines.move_to_end(key)
        while len(self._engines) > WARM_ENGINES:
            self._engines.popitem(last=False)
        return engine


def _status(choice: RoutingResult) -> Status:
    if choice.prompt is not None:
        serving = f"Ready with prompt {_label(choice.prompt.manifest)}"
    elif choice.problems:
        serving = "Ready without a prompt"
    else:
        serving = f"Ready without a prompt: {choice.reason}."
    prompt = _identity(choice.prompt)
    if choice.problems:
        return Status("Warning", False, " ".join((*choice.problems, f"{serving}.")), prompt)
    return Status("Normal", False, serving, prompt)


def _identity(prompt: PromptFile | None) -> str | None:
    """The name, and enough of the hash to tell it from what it was before it was tuned again."""
    return None if prompt is None else f"{prompt.manifest.name}@{(prompt.sha256 or '')[:8]}"


def _label(manifest: Manifest) -> str:
    if manifest.gain is None:
        return manifest.name
    return f"{manifest.name} ({100 * manifest.gain:+.1f} % on held-out files)"
