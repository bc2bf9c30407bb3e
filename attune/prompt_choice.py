"""The prompt for a cursor position on the command line: the one that the server would choose."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from attune.cursor import CursorPosition

if TYPE_CHECKING:
    from code_model.language_model import LanguageModel
    from prompts.file import PromptFile
    from prompts.router import RoutingResult


def choose_prompt(
    position: CursorPosition, named: str | None, model: "LanguageModel"
) -> "RoutingResult":
    """The prompt file `named` ("none": no prompt); if not given, the repository's, if it fits.

    Raises `prompts.errors.PromptError` for a named file that cannot be read.
    """
    from code_context.languages import language_of
    from code_model.compatibility import check_prompt
    from code_model.fit import gain_on, misfit
    from prompts.file import read_prompt
    from prompts.router import PromptRouter, RoutingResult

    if named == "none":
        return RoutingResult(None, "as requested")
    if named is not None:
        return RoutingResult(read_prompt(Path(named)), "")

    def misfit_of(prompt: "PromptFile") -> str | None:
        return misfit(prompt, gain_on(model.open, prompt, position.path, position.text))

    router = PromptRouter(position.root, accept=partial(check_prompt, model), model=model.identity)
    return router.choose(position.path, language_of(position.path), misfit_of)
