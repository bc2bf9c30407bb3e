"""The user's data folder: prompts, trust and routes that belong to no single repository."""

import os
from pathlib import Path

import platformdirs

HOME_VARIABLE = "ATTUNE_HOME"


def user_folder() -> Path:
    """The folder of the user's store, consents and own `attune.toml`; ATTUNE_HOME overrides it."""
    override = os.environ.get(HOME_VARIABLE)
    return Path(override) if override else platformdirs.user_data_path("attune", appauthor=False)


def store_folder() -> Path:
    """The folder of the user's content-addressed store."""
    return user_folder() / "store"
