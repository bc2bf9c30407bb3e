"""The user's models: `models.toml` in the user's data folder gives each one a name."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tomlkit
from pydantic import ConfigDict, Field, StrictBool, StrictInt, StrictStr, TypeAdapter

from code_model.model_choice import DEFAULT, Engine, ModelChoice, RecordedFile
from code_model.team_server import TIMEOUT_MS, KeySource, ServerUrl, TeamServer
from file_access.regular_file import read_regular_file
from prompts.atomic_write import replace_file
from prompts.edit_lock import edit_lock
from prompts.errors import ConfigurationError
from prompts.user import user_folder
from prompts.validation import InvalidDataError, Line, Sha256, text_rule, validate

FILE_NAME = "models.toml"
MAX_BYTES = 4 << 20
MAX_MODELS = 1000
SHIPPED = "shipped"
"""The name of the model that comes with Attune; it needs no entry."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""A model's name: it can stand in an `attune.toml`, on a command line, and as a folder's name."""

NAME_RULE = "1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"
ModelName = Annotated[StrictStr, text_rule(NAME.fullmatch, NAME_RULE)]

MAX_PATH = 4096
FilePath = Annotated[
    StrictStr,
    text_rule(
        lambda text: 0 < len(text) <= MAX_PATH and text.isprintable(),
        f"a path of at most {MAX_PATH} printable characters",
    ),
]


@dataclass(frozen=True)
class FileEntry:
    """A recorded file; `path` is absolute, or relative to the model's folder."""

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid"}

    path: FilePath
    size: Annotated[StrictInt, Field(ge=0)]
    mtime_ns: StrictInt
    sha256: Sha256


@dataclass(frozen=True)
class UserModel:
    """A model that the user has added.

    `path` is its folder, `source` what the user gave to `attune model add`, and `revision` the
    commit that was downloaded. The others are those of `ModelChoice`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid"}

    path: FilePath
    source: FilePath | None = None
    revision: (
        Annotated[
            StrictStr, text_rule(re.compile("[0-9a-f]{40}").fullmatch, "a commit's 40 hex digits")
        ]
        | None
    ) = None
    engine: Engine | None = None
    device: Line | None = None
    precision: Line | None = None
    quantisation: Line | None = None
    layout: Line | None = None
    file: tuple[FileEntry, ...] = ()

    @property
    def choice(self) -> ModelChoice:
        """What to load."""
        folder = Path(self.path)
        files = tuple(
            RecordedFile(folder / entry.path, entry.size, entry.mtime_ns, entry.sha256)
            for entry in self.file
        )
        computing = (self.engine, self.device, self.precision, self.quantisation)
        return ModelChoice(folder, *computing, self.layout, files)


@dataclass(frozen=True)
class UserServer:
    """A team server that the user has joined: the consent to send code to this address.

    `model` names the model of this machine that it computes, `fallback` the one that answers while
    it does not (None: the same). The others are those of `TeamServer`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid"}

    url: ServerUrl
    model: ModelName = SHIPPED
    fallback: ModelName | None = None
    key: KeySource | None = None
    precision: Line = "float32"
    positions: Annotated[StrictInt, Field(ge=1)] | None = None
    timeout_ms: Annotated[StrictInt, Field(ge=50, le=60_000)] = TIMEOUT_MS
    kv_prompts: StrictBool = False

    @property
    def server(self) -> TeamServer:
        """What to ask."""
        timeout_s = self.timeout_ms / 1000
        stated = (self.precision, self.positions, timeout_s, self.kv_prompts)
        return TeamServer(self.url, self.key, *stated, self.fallback or self.model)


@dataclass(frozen=True)
class UserModels:
    """The content of `models.toml`: models and servers by name, and the name of the default.

    A server's name is chosen like a model's; where both have one, it is the server's.
    """

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid"}

    default: ModelName | None = None
    model: Annotated[Mapping[ModelName, UserModel], Field(max_length=MAX_MODELS)] = field(
        default_factory=dict
    )
    server: Annotated[Mapping[ModelName, UserServer], Field(max_length=MAX_MODELS)] = field(
        default_factory=dict
    )

    def choice(self, name: str) -> ModelChoice | None:
        """What to load for a name, None if the user has no such model."""
        joined = self.server.get(name)
        if joined is None:
            return self.choice_here(name)
        computed = self.choice_here(joined.model)
        if computed is None:
            return None
        fallback = None if joined.fallback is None else self.choice_here(joined.fallback)
        return replace(computed, server=joined.server, fallback=fallback)

    def choice_here(self, name: str) -> ModelChoice | None:
        """As `choice`, of the models on this machine only."""
        if name == SHIPPED:
            return ModelChoice(DEFAULT)
        entry = self.model.get(name)
        return None if entry is None else entry.choice

    def server_at(self, url: str) -> str | None:
        """The name of the server that the user joined at an address."""
        wanted = url.rstrip("/")
        found = (name for name, joined in self.server.items() if joined.url.rstrip("/") == wanted)
        return next(found, None)

    @property
    def names(self) -> list[str]:
        """All names, the shipped model's first."""
        return list(dict.fromkeys((SHIPPED, *self.model, *self.server)))


_MODELS = TypeAdapter(UserModels)


def models_file() -> Path:
    """The `models.toml` of the user."""
    return user_folder() / FILE_NAME


def downloads_folder() -> Path:
    """The folder of models that Attune downloaded or converted; it may delete them again."""
    return user_folder() / "models"


def read_user_models() -> UserModels:
    """The user's models; empty without a file.

    Raises `prompts.errors.ConfigurationError`, naming the first broken rule.
    """
    path = models_file()
    try:
        data = read_regular_file(path, MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return UserModels()
    except OSError as error:
        raise _error(path, f"cannot be read ({error.strerror or error})") from error
    try:
        return validate(_MODELS, tomllib.loads(data.decode("utf-8-sig")))
    except InvalidDataError as error:
        raise _error(path, f"breaks a rule: {error}") from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise _error(path, f"is not TOML ({reason})") from None


def record_model(name: str, model: UserModel) -> None:
    """Write a model under a name, replacing the one that had it. Raises `ConfigurationError`."""
    _change(lambda models: replace(models, model={**models.model, name: model}))


def record_server(name: str, server: UserServer) -> None:
    """Write a server under a name, replacing the one that had it. Raises `ConfigurationError`."""
    _change(lambda models: replace(models, server={**models.server, name: server}))


def forget_model(name: str) -> None:
    """Remove a name; the user's default too if it was this one. Raises `ConfigurationError`."""

    def forgotten(models: UserModels) -> UserModels:
        rest = {other: model for other, model in models.model.items() if other != name}
        servers = {other: server for other, server in models.server.items() if other != name}
        return UserModels(None if models.default == name else models.default, rest, servers)

    _change(forgotten)


def set_default(name: str) -> None:
    """Let a model serve wherever no repository names another. Raises `ConfigurationError`."""
    _change(lambda models: replace(models, default=None if name == SHIPPED else name))


def _change(change: Callable[[UserModels], UserModels]) -> None:
    """Read, change and write; of several processes, each sees what the one before has written."""
    path = models_file()
    try:
        with edit_lock(path):
            _write(change(read_user_models()))
    except OSError as error:
        raise ConfigurationError(
            f"{path} could not be written ({error.strerror or error})."
        ) from error


def _write(models: UserModels) -> None:
    """Raises `ConfigurationError` and `OSError`."""
    path = models_file()
    content = _MODELS.dump_python(models, mode="json", exclude_defaults=True)
    try:
        validate(_MODELS, content)  # or the next command could not read it
    except InvalidDataError as error:
        raise ConfigurationError(f"The model cannot be recorded: {error}; rename it.") from None
    document: dict[str, Any] = tomlkit.document()
    document.update(content)
    replace_file(path, tomlkit.dumps(document).encode())


def _error(path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(f"{path} {what}; correct it or remove it.")
