"""A language model that completes each document with the prompt chosen for it."""

from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path
from threading import Lock

from code_context.retrieval import Retriever
from code_context.syntax import TreeCache
from code_model.language_model import LanguageModel
from completion.completion_model import CompletionModel, Computation
from completion.model_input import CompletionPoint
from completion.pipeline import complete, prefill
from completion.prompt_fit import PromptFitCheck
from completion.prompt_selection import PromptSelector
from completion.request import CompletionRequest, CompletionResult
from completion.session_pool import SessionPool
from completion.status import Status, StatusListener
from prompts.file import PromptFile
from prompts.manifest import Manifest
from prompts.router import PromptRouter, RoutingResult


class PromptedModel(CompletionModel):
    """Follows the prompt files on disk and reports which prompt serves.

    A prompt that was not named explicitly does not serve documents that it does not fit. A lock
    lets one thread at a time use the model.
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
        retriever_for: Callable[[CompletionRequest], Retriever | None] = lambda request: None,
    ) -> None:
        """Serve with the prompt `named`, else with those of the repository at `root`.

        In a workspace that is not `trusted`, its own prompts need the user's consent. `disabled`:
        why no prompt serves at all, None if one may.
        """
        self._sessions = SessionPool(model)
        prompts = PromptRouter(
            root, named, accept=self._sessions.session, model=model.identity, trusted=trusted
        )
        fit_check = PromptFitCheck(model) if named is None and disabled is None else None
        self._selector = PromptSelector(prompts, fit_check, disabled)
        self._retriever_for = retriever_for
        self._trees = TreeCache()
        self._report = report
        self._reported: Status | None = None
        self._refreshed: RoutingResult | None = None
        self._lock = Lock()
        self.refresh()

    def refresh(self) -> None:
        """Read changed prompt files before a request needs them; any thread may call this."""
        with self._lock:
            choice = self._selector.refresh()
            self._sessions.session(choice.prompt)
            if choice != self._refreshed:  # else the status of the last document still holds
                self._refreshed = choice
                self._report_choice(choice)

    def folders(self) -> set[Path]:
        """The folders in which a changed file may change the choice of a prompt."""
        return self._selector.folders()

    def version(self) -> Hashable:
        """See `CompletionModel`: changes with prompt files and with results of fit checks."""
        return self._selector.version()

    def complete(self, request: CompletionRequest, computation: Computation) -> CompletionResult:
        """See `CompletionModel`. An explicit request gets the other condition's text as well."""
        with self._lock:
            prompt = self._prompt_for(request)
            first, second = (None, prompt) if request.without_prompt else (prompt, None)
            result = self._complete(first, request, computation)
            alternatives: tuple[str, ...] | None = None
            if request.explicit and result.reason != "cancelled":
                other = "" if prompt is None else self._complete(second, request, computation).text
                alternatives = (other,) if other not in ("", result.text) else ()
        return replace(result, prompt=_identity(prompt), alternatives=alternatives)

    def warm(self, request: CompletionRequest, computation: Computation) -> None:
        """See `CompletionModel`."""
        with self._lock:
            prompt = None if request.without_prompt else self._prompt_for(request)
            session = self._sessions.session(prompt)
            prefill(session, self._point(request), computation.cancelled)

    def check_fit(self, request: CompletionRequest, computation: Computation) -> None:
        """See `CompletionModel`. If another prompt serves from now on, prefill its session."""
        with self._lock:
            has_changed = self._selector.check_fit(request, computation.cancelled)
            if has_changed:
                self._prompt_for(request)
        if has_changed:
            self.warm(request, computation)

    def _complete(
        self, prompt: PromptFile | None, request: CompletionRequest, computation: Computation
    ) -> CompletionResult:
        return complete(
            self._sessions.session(prompt),
            self._point(request),
            explicit=request.explicit,
            cancelled=computation.cancelled,
            progress=computation.update,
        )

    def _point(self, request: CompletionRequest) -> CompletionPoint:
        return CompletionPoint.parse(
            request.text,
            request.path,
            request.offset,
            self._retriever_for(request),
            trees=self._trees,
        )

    def _prompt_for(self, request: CompletionRequest) -> PromptFile | None:
        choice = self._selector.choose(request)
        self._report_choice(choice)
        return choice.prompt

    def _report_choice(self, choice: RoutingResult) -> None:
        status = _status(choice)
        if status != self._reported:
            self._reported = status
            self._report(status)


def _status(choice: RoutingResult) -> Status:
    if choice.prompt is not None:
        message = f"Ready with prompt {_label(choice.prompt.manifest)}"
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


def _label(manifest: Manifest) -> str:
    if manifest.gain is None:
        return manifest.name
    return f"{manifest.name} ({100 * manifest.gain:+.1f} % on held-out files)"
