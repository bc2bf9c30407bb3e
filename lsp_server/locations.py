"""Where a document belongs: the root of its repository, and its path relative to that.

A document of scheme `file` is identified by its real path, so that a link and its target are one
file. What decides is where the file lies, not which workspace folder the client names first.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from pygls.uris import to_fs_path
from pygls.workspace import Workspace

from code_context.repository_root import repository_root_above
from completion.request import is_file


@dataclass(frozen=True)
class Location:
    """`path` is relative to `root`, with forward slashes; the document's name without a root."""

    root: Path | None
    path: str


def locate(uri: str, folders: Sequence[Path]) -> Location:
    """The location of a document in a workspace with these folders.

    A draft without a path belongs to the first folder, because it is probably about that one. A
    document outside of all folders belongs to none.
    """
    path = document_path(uri)
    if path is None:
        name = PurePosixPath(unquote(uri).rpartition(":")[2]).name
        return Location(next(iter(workspace_roots(folders[:1])), None), name)
    for candidate in (_real(path), path):  # a link to a file outside still belongs to its folder
        parents = [
            folder for folder in map(_real, folders) if candidate.is_relative_to(folder)
        ] or [folder for folder in folders if candidate.is_relative_to(folder)]
        if parents:
            folder = max(parents, key=lambda folder: len(folder.parts))
            root = root_of(candidate, folder)
            return Location(root, candidate.relative_to(root).as_posix())
    return Location(None, path.name)


def root_of(path: Path, folder: Path) -> Path:
    """The root of a path in a workspace folder, by the rule of the command line.

    It is the nearest repository root above the path, which may be above the folder as well; the
    folder if there is none.
    """
    return repository_root_above(path) or folder


def document_path(uri: str) -> Path | None:
    """The absolute path in a URI of any scheme, such as `git:`; None if it has none."""
    if is_file(uri):
        path = to_fs_path(uri)
    else:
        try:
            path = unquote(urlsplit(uri).path)
        except ValueError:  # brackets that enclose no address
            return None
    if not path or not os.path.isabs(path) or "\0" in path:
        return None
    return Path(path)


def workspace_folders(workspace: Workspace) -> list[Path]:
    """The workspace folders on this machine, in the client's order."""
    uris = [folder.uri for folder in workspace.folders.values()]
    if not uris and workspace.root_uri is not None:
        uris = [workspace.root_uri]
    paths = (document_path(uri) for uri in uris if is_file(uri))
    return [path for path in paths if path is not None]


def workspace_roots(folders: Sequence[Path]) -> list[Path]:
    """The roots of the workspace folders themselves, each once."""
    return list(dict.fromkeys(root_of(_real(folder) / "file", _real(folder)) for folder in folders))


def _real(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):  # a name that the file system cannot hold
        return path
