"""Which open files a prompt does not fit, so that it does not serve there.

Looked at while nobody waits; until then a prompt serves. It imports torch, so only the engine
thread imports this module.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from code_model.fit import gain_on, misfit
from code_model.language_model import LanguageModel
from completion.request import CompletionRequest
from prompts.file import PromptFile

REMEMBERED = 256  # files, or a few prompts for fewer
GROWTH = 2.0  # times as long, or as short, as when it was looked at: look again


@dataclass(frozen=True)
class _Look:
    size: int
    gain: float | None


class PromptFitCheck:
    """What was found about documents and prompts; one thread at a time."""

    def __init__(self, base: LanguageModel) -> None:
        self._base = base
        self._looks: OrderedDict[tuple[str, str | None], _Look] = OrderedDict()

    def misfit(self, prompt: PromptFile, request: CompletionRequest) -> str | None:
        """Why the prompt does not serve the document, None if it does or nobody has looked yet."""
        look = self._looks.get(_key(prompt, request))
        return None if look is None else misfit(prompt, look.gain)

    def is_due(self, prompt: PromptFile, request: CompletionRequest) -> bool:
        """Whether to look: never done, or the document has become another."""
        look = self._looks.get(_key(prompt, request))
        if look is None:
            return True
        return not look.size / GROWTH < max(1, len(request.text)) < look.size * GROWTH

    def look(
        self, prompt: PromptFile, request: CompletionRequest, cancelled: Callable[[], bool]
    ) -> bool:
        """Look at the document; whether the prompt ceased or began to serve it.

        Raises `code_model.cancel.StepCancelledError`.
        """
        before = self.misfit(prompt, request)
        gain = gain_on(self._base, prompt, request.path, request.text, cancelled)
        key = _key(prompt, request)
        self._looks[key] = _Look(max(1, len(request.text)), gain)
        self._looks.move_to_end(key)
        while len(self._looks) > REMEMBERED:
            self._looks.popitem(last=False)
        return (before is None) != (self.misfit(prompt, request) is None)


def _key(prompt: PromptFile, request: CompletionRequest) -> tuple[str, str | None]:
    """Documents outside of all folders have their name alone as a path, so the URI tells."""
    return request.uri or request.path, prompt.sha256
