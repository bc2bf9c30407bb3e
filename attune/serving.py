"""Which prompt serves a place on the command line: the one that the server would choose."""

from pathlib import Path
from typing import TYPE_CHECKING

from attune.place import Place

if TYPE_CHECKING:
    from code_model.loading import BaseModel
    from prompts.file import PromptFile
    from prompts.repository import Choice


def choice_at(at: Place, named: str | None, base: "BaseModel") -> "Choice":
    """The prompt file that is `named` ("none" for none), else the repository's, if it fits.

    Raises `prompts.errors.PromptError` for a named file that cannot be read.
    """
    from code_context.syntax import language_of, parse
    from code_model.fit import gain_here, misfit
    from prompts.file import read_prompt
    from prompts.repository import Choice, RepositoryPrompts

    if named == "none":
        return Choice(None, "as asked")
    if named is not None:
        return Choice(read_prompt(Path(named)), "")
    language = language_of(at.path)
    tree = parse(at.text, language)

    def misfit_here(prompt: "PromptFile") -> str | None:
        return misfit(prompt, gain_here(base, prompt, tree, at.path, at.offset))

    return RepositoryPrompts(at.root).choose(at.path, language, misfit_here)
