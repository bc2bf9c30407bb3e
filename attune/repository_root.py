"""The root of the repository that a path belongs to."""

from pathlib import Path


def find_repository_root(path: Path) -> Path:
    """The nearest folder above `path` that is a repository's root, else the folder of `path`."""
    for folder in path.parents:
        if is_repository_root(folder):
            return folder
    return path.parent


def is_repository_root(folder: Path) -> bool:
    """Whether a folder holds `.git` or a folder `.attune`."""
    return (folder / ".git").exists() or (folder / ".attune").is_dir()
