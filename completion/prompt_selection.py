"""Prompt selection: which prompt serves a document, by its routes and by the prompt-fit check."""

from collections.abc import Callable, Hashable
from pathlib import Path

from code_context.languages import language_of
from code_model.cancel import StepCancelledError
from completion.prompt_fit import PromptFitCheck
from completion.request import CompletionRequest
from prompts.file import PromptFile
from prompts.router import PromptRouter, RoutingResult


class PromptSelector:
    """Chooses among the prompts of a repository. One thread at a time, except for `version`."""

    def __init__(
        self,
        prompts: PromptRouter,
        fit_check: PromptFitCheck | None,
        disabled: str | None = None,
    ) -> None:
        """Without a `fit_check` a prompt serves every document of its routes.

        `disabled`: why no prompt serves at all, None if one may.
        """
        self._prompts = prompts
        self._fit_check = fit_check
        self._disabled = disabled
        self._fit_state = object()  # another one whenever a check has changed the choice

    def version(self) -> Hashable:
        """Changes whenever a request may be served by another prompt; cheap, on any thread.

        No other selector ever has the same.
        """
        return self._fit_state, self._prompts.stamp()

    def folders(self) -> set[Path]:
        """The folders in which a changed file may change the choice."""
        return self._prompts.folders()

    def refresh(self) -> RoutingResult:
        """Read changed files; return the choice for a document that no route names."""
        return self._unless_disabled(self._prompts.refresh())

    def choose(self, request: CompletionRequest) -> RoutingResult:
        """The prompt for a document, or why there is none."""
        fit_check = self._fit_check
        if fit_check is None:
            return self._choose(request, lambda prompt: None)
        return self._choose(request, lambda prompt: fit_check.misfit(prompt, request))

    def check_fit(self, request: CompletionRequest, cancelled: Callable[[], bool]) -> bool:
        """Run the prompt-fit check if it is due.

        Returns whether the prompt of the document has changed. A cancelled check has no result.
        """
        fit_check = self._fit_check
        if fit_check is None:
            return False

        def misfit(prompt: PromptFile) -> str | None:
            is_due = fit_check.is_due(prompt, request)
            return None if is_due else fit_check.misfit(prompt, request)

        prompt = self._choose(request, misfit).prompt
        if prompt is None or not fit_check.is_due(prompt, request):
            return False
        try:
            has_changed = fit_check.check(prompt, request, cancelled)
        except StepCancelledError:
            return False
        if has_changed:
            self._fit_state = object()
        return has_changed

    def _choose(
        self, request: CompletionRequest, misfit: Callable[[PromptFile], str | None]
    ) -> RoutingResult:
        language = language_of(request.path, request.language_id)
        choice = self._prompts.choose(request.path, language, misfit)
        return self._unless_disabled(choice)

    def _unless_disabled(self, choice: RoutingResult) -> RoutingResult:
        return choice if self._disabled is None else RoutingResult(None, self._disabled)
