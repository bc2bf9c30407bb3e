"""The repository that a command means when nobody names one: the one around, as git does."""

from pathlib import Path
from typing import Annotated

import typer


def is_given(context: typer.Context, name: str) -> bool:
    """Whether somebody wrote the parameter of that name on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _around(context: typer.Context, parameter: typer.CallbackParam, value: Path) -> Path:
    """The nearest folder above with `.git` or `.attune`, unless a folder was named."""
    from attune.cursor import repository_root

    if is_given(context, parameter.name or ""):
        return value
    # a file that need not be there: its folder is the first to be looked at
    return repository_root(value.absolute() / "x")


DESCRIBED = "Root of the repository. Default: the one around the working folder."
Repository = Annotated[Path, typer.Argument(help=DESCRIBED, callback=_around, show_default=False)]
Root = Annotated[
    Path, typer.Option("--repository", "-C", help=DESCRIBED, callback=_around, show_default=False)
]
