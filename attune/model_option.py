"""The option that names a model, and the model that serves a repository on the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attune.output import say

if TYPE_CHECKING:
    from code_model.model_choice import ModelChoice

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME|PATH",
        help="Model for this run. Default: the repository's, else yours (attune model list).",
    ),
]


def choose_model(named: str | None, root: Path | None) -> "ModelChoice":
    """The model to load; says on stderr which names could not be used.

    Raises as `code_model.model_resolution.resolve_model` does.
    """
    from code_model.model_resolution import resolve_model

    resolved = resolve_model(named, root)
    for notice in resolved.notices:
        say(notice)
    return resolved.choice.without_server  # only an editor asks a team server
