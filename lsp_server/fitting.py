"""Which open files a prompt does not fit, so that it does not serve there.

Looked at while nobody waits; until then a prompt serves. It imports torch, so only the engine
thread imports this module.
"""

from collections import OrderedDict
from dataclasses import dataclass

from code_context.syntax import SyntaxTree
from code_model.cancel import Cancel
from code_model.fit import gain_here, misfit
from code_model.loading import BaseModel
from lsp_server.answers import CompletionRequest
from prompts.file import PromptFile

REMEMBERED = 256  # files, or a few prompts for fewer
GROWTH = 2.0  # times as long, or as short, as when it was looked at: look again


@dataclass(frozen=True)
class _Look:
    size: int
    gain: float | None


class Fitting:
    """What was found about files by path and prompt; one thread at a time."""

    def __init__(self, base: BaseModel) -> None:
        self._base = base
        self._looks: OrderedDict[tuple[str, str | None], _Look] = OrderedDict()
        self.changes = 0
        """Counts the times that a prompt ceased or began to serve a file."""

    def misfit(self, prompt: PromptFile, path: str) -> str | None:
        """Why the prompt does not serve the file, None if it does or nobody has looked yet."""
        look = self._looks.get((path, prompt.sha256))
        return None if look is None else misfit(prompt, look.gain)

    def is_due(self, prompt: PromptFile, request: CompletionRequest) -> bool:
        """Whether to look: never done, nothing could be told, or it has become another file."""
        look = self._looks.get((request.path, prompt.sha256))
        if look is None or look.gain is None:
            return True
        return not look.size / GROWTH < len(request.text) < look.size * GROWTH

    def look(
        self, prompt: PromptFile, request: CompletionRequest, tree: SyntaxTree, cancel: Cancel
    ) -> None:
        """Look at the text around the place. Raises `code_model.cancel.StepCancelledError`."""
        gain = gain_here(self._base, prompt, tree, request.path, request.offset, cancel)
        before = self.misfit(prompt, request.path)
        key = (request.path, prompt.sha256)
        self._looks.pop(key, None)
        self._looks[key] = _Look(len(request.text), gain)
        self.changes += (before is None) != (self.misfit(prompt, request.path) is None)
        while len(self._looks) > REMEMBERED:
            self._looks.popitem(last=False)
