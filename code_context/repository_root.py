"""The root of the repository of a path: one rule for the server and the command line."""

import os
from pathlib import Path


def find_repository_root(path: Path) -> Path:
    """The nearest folder above `path` that is a repository's root, else the folder of `path`."""
    return repository_root_above(path) or path.parent


def repository_root_above(path: Path) -> Path | None:
    """The nearest folder above `path` that is a repository's root, None if there is none.

    A home folder under version control, as for settings, is not the repository of what lies in it.
    """
    for folder in path.parents:
        if is_repository_root(folder) and is_indexable(folder):
            return folder
    return None


def is_repository_root(folder: Path) -> bool:
    """Whether a folder holds `.git` or a folder `.attune`; not if it cannot be looked into."""
    return os.path.exists(folder / ".git") or os.path.isdir(folder / ".attune")


def is_indexable(root: Path) -> bool:
    """Whether a folder can be a project: neither the file system's root nor the user's home."""
    real = os.path.realpath(root)  # unlike Path.resolve, it accepts a loop of links
    home = os.path.realpath(os.path.expanduser("~"))
    return os.path.isdir(real) and os.path.dirname(real) != real and real != home
