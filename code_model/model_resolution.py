"""Which model serves: an explicit one, else the repository's, the user's default, the shipped one.

A repository names a model that the user has added, never a path, and a team server that the user
has joined: opening a stranger's repository loads nothing that the user has not added, downloads
nothing, and sends nothing anywhere.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from code_model.language_model import ModelLoadError
from code_model.model_choice import ModelChoice
from code_model.user_models import SHIPPED, UserModels, models_file, read_user_models
from file_access.file_version import file_version
from prompts.configuration import FILE_NAME, FOLDER, read_configuration
from prompts.errors import ConfigurationError

MODEL_VARIABLE = "ATTUNE_MODEL"
"""Environment variable that names a model, or its path, for one run."""


class UnknownModelError(ModelLoadError):
    """There is no model of this name, and no such path."""


NamedBy = Literal["option", "environment", "repository", "user", "shipped"]


@dataclass(frozen=True)
class ResolvedModel:
    """The model that serves, its name (or path), and what named it.

    `notices` are sentences about names that could not be used.
    """

    choice: ModelChoice
    name: str
    named_by: NamedBy
    notices: tuple[str, ...] = ()


def resolve_model(named: str | None = None, root: Path | None = None) -> ResolvedModel:
    """The model for the repository at `root`; `named` is what an option or a setting names.

    Raises `UnknownModelError` if `named` or ATTUNE_MODEL is neither a model's name nor a path,
    `prompts.errors.ConfigurationError` if `models.toml` cannot be read.
    """
    models = read_user_models()
    if named:
        return ResolvedModel(_explicit(named, models), named, "option")
    if variable := os.environ.get(MODEL_VARIABLE):
        return ResolvedModel(_explicit(variable, models), variable, "environment")
    notices: list[str] = []
    by_repository = None if root is None else _of_repository(root, models, notices)
    wanted: Sequence[tuple[str | None, NamedBy]] = (
        (by_repository, "repository"), (models.default, "user"), (SHIPPED, "shipped"),
    )  # fmt: skip
    for name, named_by in wanted:
        if name is None:
            continue
        choice = models.choice(name)
        if choice is not None:
            return ResolvedModel(choice, name, named_by, tuple(notices))
        where = "This repository" if named_by == "repository" else "Your default"
        notices.append(
            f"{where} names the model {name!r}, which you have not added; add it with "
            f"`attune model add PATH --name {name}`; until then another model serves."
        )
    raise AssertionError("the shipped model always has a choice")


def choice_stamp(root: Path | None) -> tuple[object, ...]:
    """Differs whenever `resolve_model` may give another result for this repository; cheap."""
    files = [models_file()] if root is None else [models_file(), root / FOLDER / FILE_NAME]
    return tuple(file_version(file) for file in files)


def _explicit(named: str, models: UserModels) -> ModelChoice:
    choice = models.choice(named)
    if choice is not None:
        return choice
    path = Path(named).expanduser()
    if path.is_absolute() or path.exists() or len(path.parts) > 1:
        return ModelChoice(path.absolute())
    raise unknown_model(named, models)


def unknown_model(name: str, models: UserModels) -> UnknownModelError:
    """The error that says which names there are."""
    return UnknownModelError(
        f"There is no model {name!r}; choose one of {', '.join(models.names)}, or add it with "
        "`attune model add`."
    )


def _of_repository(root: Path, models: UserModels, notices: list[str]) -> str | None:
    try:
        configuration = read_configuration(root / FOLDER / FILE_NAME)
    except ConfigurationError as error:
        notices.append(str(error))
        return None
    if configuration.team is not None:
        url = configuration.team.url
        if (joined := models.server_at(url)) is not None:
            return joined
        notices.append(
            f"This repository names the team server {url}; no code is sent there unless you run "
            "`attune team join`."
        )
    return configuration.model_name
