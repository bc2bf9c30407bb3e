"""Render a template of `templates/`, and write the page.

Every value is escaped (autoescape), because prompt files and source code may hold anything.
"""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from prompts.atomic_write import replace_file


class PageWriteError(Exception):
    """The page was not written; whatever stood at the path before is still there, whole."""


def render(template: str, **values: Any) -> str:
    """The page of the template `NAME.html`. A name that `values` lacks is an error."""
    return _environment().get_template(f"{template}.html").render(values)


def write_page(path: Path, page: str) -> None:
    """Write a page atomically, as UTF-8 (lone surrogates become `?`). Raises `PageWriteError`."""
    try:
        replace_file(path, page.encode(errors="replace"))
    except OSError as error:
        raise PageWriteError(
            f"{path} cannot be written ({error.strerror or error}); choose another place."
        ) from error


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("attune.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
