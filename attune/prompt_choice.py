"""Which prompt serves a place on the command line: the one that the server would choose."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from attune.cursor import CursorPosition

if TYPE_CHECKING:
    from code_model.language_model import LanguageModel
    from prompts.file import PromptFile
    from prompts.router import RoutingResult


def choose_prompt(at: CursorPosition, named: str | None, base: "LanguageModel") -> "RoutingResult":
    """The prompt file that is `named` ("none" for none), else the repository's, if it fits.

    Raises `prompts.errors.PromptError` for a named file that cannot be read.
    """
    from code_context.languages import language_of
    from code_model.compatibility import check_prompt
    from code_model.fit import gain_on, misfit
    from prompts.file import read_prompt
    from prompts.router import PromptRouter, RoutingResult

    if named == "none":
        return RoutingResult(None, "as asked")
    if named is not None:
        return RoutingResult(read_prompt(Path(named)), "")

    def misfit_here(prompt: "PromptFile") -> str | None:
        return misfit(prompt, gain_on(base, prompt, at.path, at.text))

    prompts = PromptRouter(at.root, accept=partial(check_prompt, base), model=base.identity)
    return prompts.choose(at.path, language_of(at.path), misfit_here)
