"""The argument and the option that name a repository; by default the one around, as in git."""

from pathlib import Path
from typing import Annotated

import typer

from code_context.repository_root import find_repository_root


def is_given(context: typer.Context, name: str) -> bool:
    """Whether the parameter `name` was given on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _given_or_enclosing(
    context: typer.Context, parameter: typer.CallbackParam, value: Path
) -> Path:
    if is_given(context, parameter.name or ""):
        return value
    # the root is searched above a file, so start at any name in the folder
    return find_repository_root(value.absolute() / "file")


HELP = "Root of the repository. Default: the one around the working folder."
RepositoryArgument = Annotated[
    Path, typer.Argument(help=HELP, callback=_given_or_enclosing, show_default=False)
]
RepositoryOption = Annotated[
    Path,
    typer.Option("--repository", "-C", help=HELP, callback=_given_or_enclosing, show_default=False),
]
