"""The user's data folder: prompts, trust and routes that belong to no single repository."""

import os
from pathlib import Path

from file_access.user_folders import data_folder

HOME_VARIABLE = "ATTUNE_HOME"


def user_folder() -> Path:
    """The folder of the user's store, consents and own `attune.toml`; ATTUNE_HOME overrides it."""
    override = os.environ.get(HOME_VARIABLE)
    return Path(override) if override else data_folder()


def store_folder() -> Path:
    """The folder of the user's content-addressed store."""
    return user_folder() / "store"
