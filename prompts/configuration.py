"""`attune.toml`: which prompt serves which files of a repository, and with which model."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tomlkit
from pydantic import ConfigDict, Field, StrictStr, TypeAdapter
from tomlkit.exceptions import TOMLKitError

from file_access.regular_file import read_regular_file
from prompts import globs
from prompts.atomic_write import replace_file
from prompts.edit_lock import edit_lock
from prompts.errors import ConfigurationError
from prompts.file import SUFFIX
from prompts.validation import InvalidDataError, Label, is_label, text_rule, validate

FOLDER = ".attune"
FILE_NAME = "attune.toml"
EVERYTHING = ("**",)
MAX_BYTES = 256 << 10
MAX_ROUTES = 256
MAX_GLOBS = 256
MAX_GLOB = 256

DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
"""How a route names a prompt of the user's store."""

_Glob = Annotated[StrictStr, Field(min_length=1, max_length=MAX_GLOB)]
_Reference = Annotated[
    StrictStr,
    text_rule(
        lambda text: DIGEST.fullmatch(text) or is_label(text),
        "a file name without its ending, or sha256:DIGEST",
    ),
]


@dataclass(frozen=True)
class Route:
    """Files that match `globs` are served by `prompt`.

    `prompt` is the name of a file beside `attune.toml`, without its ending, or `sha256:` and the
    digest of a prompt in the user's store.
    """

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid"}

    globs: Annotated[tuple[_Glob, ...], Field(min_length=1, max_length=MAX_GLOBS, fail_fast=True)]
    prompt: _Reference

    def matches(self, path: str) -> bool:
        """Whether the route is for `path`, which starts at the repository's root."""
        return globs.matches(path, self.globs)


@dataclass(frozen=True)
class ModelTable:
    """The table `[model]`: the name of a model that the user has added. Never a path."""

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid"}

    name: Label


@dataclass(frozen=True)
class TeamTable:
    """The table `[team]`: the address of the team's server.

    It is a proposal: nothing is sent there unless the user has joined that address.
    """

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid"}

    url: Annotated[
        StrictStr,
        Field(min_length=1, max_length=2048),
        text_rule(str.isprintable, "one printable line"),
    ]


@dataclass(frozen=True)
class Configuration:
    """The content of an `attune.toml`; empty without a file."""

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid"}

    routes: Annotated[
        tuple[Route, ...], Field(alias="route", max_length=MAX_ROUTES, fail_fast=True)
    ] = ()
    registry: Annotated[StrictStr, text_rule(str.isprintable, "one printable line")] | None = None
    """URL of the registry that `attune prompt pull` and `push` use."""
    model: ModelTable | None = None
    team: TeamTable | None = None

    @property
    def model_name(self) -> str | None:
        """The name of the model that this repository is completed with."""
        return None if self.model is None else self.model.name


_CONFIGURATION = TypeAdapter(Configuration)


def read_configuration(path: Path) -> Configuration:
    """The configuration at `path`, empty if there is no file.

    Raises `ConfigurationError`, naming the first broken rule.
    """
    try:
        data = read_regular_file(path, MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return Configuration()
    except OSError as error:
        raise _error(path, f"cannot be read ({error.strerror or error})") from error
    try:
        return validate(_CONFIGURATION, tomllib.loads(data.decode("utf-8-sig")))
    except InvalidDataError as error:
        raise _error(path, f"breaks a rule: {error}") from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise _error(path, f"is not TOML ({reason})") from None


def prompt_file(reference: str, folder: Path, store: Path) -> Path:
    """The file that a route's `prompt` refers to: in `folder`, or in the user's `store`."""
    digest = DIGEST.fullmatch(reference)
    if digest is None:
        return folder / f"{reference}{SUFFIX}"
    return stored_file(digest[1], store)


def stored_file(sha256: str, store: Path) -> Path:
    """Where a store keeps the prompt file with this digest."""
    return store / sha256[:2] / f"{sha256[2:]}{SUFFIX}"


def add_route(folder: Path, patterns: Sequence[str], prompt: str) -> None:
    """Add a route from `patterns` to `prompt` to the `attune.toml` of `folder`.

    A route with the same patterns gets the new prompt. A new route becomes the first one, except
    the route of everything, which becomes the last. Comments stay. Raises `ConfigurationError`.
    """
    with edit_lock(folder / FILE_NAME):
        document = _document(folder / FILE_NAME)
        routes = document.setdefault("route", tomlkit.aot())
        same = [route for route in routes if list(route["globs"]) == list(patterns)]
        if same:
            same[0]["prompt"] = prompt
        else:
            table = tomlkit.table()
            table["globs"] = list(patterns)
            table["prompt"] = prompt
            routes.insert(len(routes) if tuple(patterns) == EVERYTHING else 0, table)
        _write(folder / FILE_NAME, document)


def remove_routes(folder: Path, prompt: str) -> None:
    """Remove every route to `prompt` from the `attune.toml` of `folder`.

    Raises `ConfigurationError`.
    """
    path = folder / FILE_NAME
    if not any(route.prompt == prompt for route in read_configuration(path).routes):
        return
    with edit_lock(path):
        document = _document(path)
        routes = document.get("route", [])
        for index in reversed(range(len(routes))):
            if routes[index]["prompt"] == prompt:
                del routes[index]
        if "route" in document and not routes:
            del document["route"]
        _write(path, document)


def set_model(folder: Path, name: str | None) -> None:
    """Name the repository's model in the `attune.toml` of `folder`; None removes the name.

    Comments stay. Raises `ConfigurationError`.
    """
    with edit_lock(folder / FILE_NAME):
        document = _document(folder / FILE_NAME)
        if name is not None:
            document.setdefault("model", tomlkit.table())["name"] = name
        elif "model" in document:
            del document["model"]
        else:
            return
        _write(folder / FILE_NAME, document)


def _error(path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(f"{path} {what}; correct it or remove it.")


def _document(path: Path) -> Any:
    read_configuration(path)  # a broken file is reported before anything is changed
    try:
        return tomlkit.parse(read_regular_file(path, MAX_BYTES).decode("utf-8-sig"))
    except FileNotFoundError:
        return tomlkit.document()
    except (OSError, ValueError, TOMLKitError) as error:
        raise ConfigurationError(f"{path} cannot be changed ({error}).") from error


def _write(path: Path, document: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, tomlkit.dumps(document).encode())
    except OSError as error:
        raise ConfigurationError(f"{path} could not be written ({error.strerror}).") from error
