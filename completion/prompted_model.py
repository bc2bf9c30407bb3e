"""A language model that completes each document with the prompt chosen for it."""

import logging
import math
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock

from code_context.languages import language_of
from code_context.retrieval import Retriever
from code_context.syntax import SyntaxTree, TreeCache
from code_model.compatibility import check_prompt
from code_model.language_model import LanguageModel, Runtime
from code_model.out_of_memory import OutOfModelMemoryError
from code_model.sureness import Sureness
from completion.completion_model import Computation, RepositoryModel
from completion.model_input import CompletionPoint
from completion.pipeline import complete, prefill
from completion.prompt_fit import PromptFitCheck
from completion.prompt_selection import PromptSelector
from completion.request import CompletionRequest, CompletionResult
from completion.session_pool import SessionPool
from completion.status import Status, StatusListener
from prompts.file import PromptFile
from prompts.manifest import Manifest
from prompts.measured_gain import gain_words
from prompts.router import PromptRouter, RoutingResult

logger = logging.getLogger(__name__)

MAX_REPOSITORIES = 32
"""Repositories whose prompts are followed; documents may come from any number of them."""


class PromptedModel(RepositoryModel):
    """Follows the prompt files on disk and reports which prompt serves.

    A prompt that was not named explicitly does not serve documents that it does not fit. A lock
    lets one thread at a time use the model.

    Reason for its size: one lock guards the prompts, sessions and statuses of one model.
    """

    def __init__(
        self,
        model: LanguageModel,
        root: Path | None,
        report: StatusListener,
        *,
        named: Path | None = None,
        trusted: bool = True,
        disabled: str | None = None,
        sureness: Sureness = "balanced",
        retriever_for: Callable[[CompletionRequest], Retriever | None] = lambda request: None,
        fit_model: LanguageModel | None = None,
    ) -> None:
        """Serve with the prompt `named`, else with those of the document's repository.

        `root` is the repository of documents whose requests have no root, None if there is none.

        In a workspace that is not `trusted`, its own prompts need the user's consent. `disabled`:
        why no prompt serves at all, None if one may. `sureness`: how likely an automatic suggestion
        must be. `fit_model` (None: `model`) says whether a prompt fits a document.
        """
        self._sessions = SessionPool(model)
        self._root = root
        checks_fit = named is None and disabled is None
        asked = self._sessions if fit_model is None else SessionPool(fit_model)
        fit_check = PromptFitCheck(asked.session) if checks_fit else None

        def create_selector(root: Path | None) -> PromptSelector:
            accept = partial(check_prompt, model)
            prompts = PromptRouter(
                root, named, accept=accept, model=model.identity, trusted=trusted
            )
            return PromptSelector(prompts, fit_check, disabled)

        self._create_selector = create_selector
        self._selectors: dict[Path | None, PromptSelector] = {root: create_selector(root)}
        self._active = root
        self._sureness = sureness
        self._retriever_for = retriever_for
        self._trees = TreeCache()
        self._report = report
        self._reported: Status | None = None
        self._refreshed: dict[Path | None, RoutingResult] = {}
        self._lock = Lock()
        self.refresh()

    def refresh(self) -> None:
        """See `RepositoryModel`.

        Only the repository of the latest request gets a session for its new prompt: those of others
        would drop the ones in use.
        """
        with self._lock:
            for root, selector in self._selectors.items():
                choice = selector.refresh()
                if choice == self._refreshed.get(root):
                    continue  # the last document's status holds
                self._refreshed[root] = choice
                if root == self._active:
                    self._sessions.session(choice.prompt)
                self._report_choice(choice)

    def add_root(self, root: Path) -> None:
        """See `RepositoryModel`."""
        with self._lock:
            self._selector(root)

    def folders(self) -> set[Path]:
        """See `RepositoryModel`."""
        selectors = tuple(self._selectors.values())
        return {folder for selector in selectors for folder in selector.folders()}

    def version(self, request: CompletionRequest) -> Hashable:
        """See `CompletionModel`: changes with prompt files and with results of fit checks."""
        selector = self._selectors.get(self._root if request.root is None else request.root)
        return None if selector is None else selector.version()

    def complete(self, request: CompletionRequest, computation: Computation) -> CompletionResult:
        """See `CompletionModel`. An explicit request gets the other condition's text as well."""
        try:
            return self._answer(request, computation)
        except OutOfModelMemoryError as error:
            logger.warning("%s", error)
            return CompletionResult("", "out_of_memory")

    def _answer(self, request: CompletionRequest, computation: Computation) -> CompletionResult:
        with self._lock:
            prompt = self._prompt_for(request)
            first, second = (None, prompt) if request.without_prompt else (prompt, None)
            result = self._complete(first, request, computation)
            alternatives: tuple[str, ...] | None = None
            if request.explicit and result.reason != "cancelled":
                other = "" if prompt is None else self._alternative(second, request, computation)
                alternatives = (other,) if other not in ("", result.text) else ()
        return replace(result, prompt=_identity(prompt), alternatives=alternatives)

    def _alternative(
        self, prompt: PromptFile | None, request: CompletionRequest, computation: Computation
    ) -> str:
        """The text of another condition. What is typed is compared with the main text only."""
        own = Computation()
        own.cancelled = computation.cancelled
        return self._complete(prompt, request, own).text

    def warm(self, request: CompletionRequest, computation: Computation) -> None:
        """See `CompletionModel`."""
        with self._lock:
            prompt = None if request.without_prompt else self._prompt_for(request)
            session = self._sessions.session(prompt)
            prefill(session, self._point(request), computation.cancelled)

    def check_fit(self, request: CompletionRequest, computation: Computation) -> None:
        """See `CompletionModel`. If another prompt serves from now on, prefill its session."""
        with self._lock:
            selector = self._selector(request.root)
            has_changed = selector.check_fit(request, computation.cancelled)
            if has_changed:
                self._prompt_for(request)
        if has_changed and not self._sessions.model.is_shared:
            self.warm(request, computation)

    def _complete(
        self, prompt: PromptFile | None, request: CompletionRequest, computation: Computation
    ) -> CompletionResult:
        session = self._sessions.session(prompt)
        return complete(
            session,
            self._point(request),
            explicit=request.explicit,
            threshold=-math.inf if request.explicit else session.show_thresholds.at(self._sureness),
            cancelled=computation.cancelled,
            progress=computation.update,
        )

    def _point(self, request: CompletionRequest) -> CompletionPoint:
        language = language_of(request.path, request.language_id)

        def parser(text: str) -> SyntaxTree:
            return self._trees.parse(text, language, request.document)

        retriever = self._retriever_for(request)
        return CompletionPoint.parse(
            request.text, request.path, request.offset, retriever, parser=parser
        )

    def _prompt_for(self, request: CompletionRequest) -> PromptFile | None:
        choice = self._selector(request.root).choose(request)
        self._active = self._root if request.root is None else request.root
        self._report_choice(choice)
        return choice.prompt

    def _selector(self, root: Path | None) -> PromptSelector:
        """The selector of a repository, created for its first document; the oldest goes."""
        root = self._root if root is None else root
        selector = self._selectors.get(root)
        if selector is None:
            while len(self._selectors) >= MAX_REPOSITORIES:
                oldest = next(iter(self._selectors))
                del self._selectors[oldest]
                self._refreshed.pop(oldest, None)
            selector = self._selectors[root] = self._create_selector(root)
            self._refreshed[root] = selector.refresh()
        return selector

    def _report_choice(self, choice: RoutingResult) -> None:
        status = _status(choice, self._sessions.model.runtime)
        if status != self._reported:
            self._reported = status
            self._report(status)


def _status(choice: RoutingResult, runtime: Runtime) -> Status:
    if choice.prompt is not None:
        message = f"Ready with prompt {_label(choice.prompt.manifest, runtime)}"
    elif choice.problems:
        message = "Ready without a prompt"
    else:
        message = f"Ready without a prompt: {choice.reason}."
    prompt = _identity(choice.prompt)
    if choice.problems:
        return Status("Warning", False, " ".join((*choice.problems, f"{message}.")), prompt)
    return Status("Normal", False, message, prompt)


def _identity(prompt: PromptFile | None) -> str | None:
    """The prompt's name and the first digits of its hash, which change when it is tuned again."""
    return None if prompt is None else f"{prompt.manifest.name}@{(prompt.sha256 or '')[:8]}"


def _label(manifest: Manifest, runtime: Runtime) -> str:
    """The prompt's name and gain, and what measured that, where it was not what serves here."""
    words = gain_words(manifest)
    if words is None:
        return manifest.name
    measured = Runtime.from_json(manifest.measured.get("runtime"))
    if measured is not None and measured != runtime:
        words += f", measured by {measured}; here it is {runtime}"
    return f"{manifest.name} ({words})"
