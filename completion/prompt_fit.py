"""Prompt-fit check: the open files that a prompt makes less likely, where it does not serve.

Documents are checked while the editor is idle; until then the prompt serves.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from code_model.fit import gain_on, misfit
from code_model.language_model import ModelUnreachableError, ScoreRefusedError, Session
from completion.request import CompletionRequest
from prompts.file import PromptFile

MAX_RESULTS = 256  # pairs of document and prompt
GROWTH = 2.0  # check again once a document is this many times longer or shorter


@dataclass(frozen=True)
class _FitResult:
    size: int
    gain: float | None


class PromptFitCheck:
    """The results for the latest documents and prompts. Not thread-safe."""

    def __init__(self, session_of: Callable[[PromptFile | None], Session]) -> None:
        self._session_of = session_of
        self._results: OrderedDict[tuple[str, str | None], _FitResult] = OrderedDict()

    def misfit(self, prompt: PromptFile, request: CompletionRequest) -> str | None:
        """Why the prompt does not serve the document; None if it does or was not checked yet."""
        result = self._results.get(_key(prompt, request))
        return None if result is None else misfit(prompt, result.gain)

    def is_due(self, prompt: PromptFile, request: CompletionRequest) -> bool:
        """Whether to check: never done, or the document has changed a lot since."""
        result = self._results.get(_key(prompt, request))
        if result is None:
            return True
        return not result.size / GROWTH < max(1, len(request.text)) < result.size * GROWTH

    def check(
        self, prompt: PromptFile, request: CompletionRequest, cancelled: Callable[[], bool]
    ) -> bool:
        """Check the document; returns whether the prompt has ceased or begun to serve it.

        Raises `code_model.cancel.StepCancelledError`.
        """
        before = self.misfit(prompt, request)
        try:
            gain = gain_on(self._session_of, prompt, request.path, request.text, cancelled)
        except (ScoreRefusedError, ModelUnreachableError):
            gain = None  # nobody can say that it does not fit
        key = _key(prompt, request)
        self._results[key] = _FitResult(max(1, len(request.text)), gain)
        self._results.move_to_end(key)
        while len(self._results) > MAX_RESULTS:
            self._results.popitem(last=False)
        return (before is None) != (self.misfit(prompt, request) is None)


def _key(prompt: PromptFile, request: CompletionRequest) -> tuple[str, str | None]:
    """By URI, because documents outside of all folders have only their name as a path."""
    return request.document, prompt.sha256
