"""The user's own folders, on a system where there may be none."""

import os
from pathlib import Path

import platformdirs

NO_HOME = Path(os.devnull, "no-home-folder-is-known", "attune")
"""Nothing exists there and nothing can be made there, for any user."""


def cache_folder() -> Path:
    """The folder for what can be made again. `NO_HOME` if the user has no home folder."""
    try:
        return platformdirs.user_cache_path("attune", appauthor=False)
    except RuntimeError:
        return NO_HOME


def data_folder() -> Path:
    """The folder of the user's data. `NO_HOME` if the user has no home folder."""
    try:
        return platformdirs.user_data_path("attune", appauthor=False)
    except RuntimeError:
        return NO_HOME
