"""List the files of a folder that are not ignored.

In a repository git decides, and then `.attuneignore` files; elsewhere `.gitignore` and
`.attuneignore` files do. Folders of installed packages and caches are never entered.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from code_context.ignore_files import IgnoreFile, IgnoreFileError, read_ignore_file
from file_access.file_version import FileVersion, file_version
from file_access.git import GitTimeoutError, git, run_git

IGNORE_FILE = ".attuneignore"
GIT_IGNORE_FILES = (".git/info/exclude", ".gitignore")
PACKAGE_FOLDERS = {
    "__pycache__", "__pypackages__", "bower_components", "dist-packages", "jspm_packages",
    "node_modules", "site-packages", "venv", ".venv",
}  # fmt: skip
"""Names of folders that hold installed packages or caches, in every language's custom."""
PACKAGE_MARKS = ("pyvenv.cfg", "conda-meta", "CACHEDIR.TAG")
"""What only such a folder holds."""
QUICK_S = 5.0  # seconds; if git takes longer, it may be waiting for the writer of a pipe
MAX_NAMED = 5  # paths in one sentence
NO_FILE = "it is no regular file"
_STAGED = re.compile(r"(\d{6}) [0-9a-f]+ \d\t(.*)", re.DOTALL)
_SUBMODULE = "160000"
_SPECIAL = re.compile(r"[\\*?\[]")  # in a pattern of an ignore file


@dataclass
class Listing:
    """Paths relative to the root, with forward slashes, and what could not be listed.

    `unreadable` maps ignore files to why they cannot be understood; `repositories` are those inside
    the root that are not part of it; `failure` is a sentence if nothing could be listed.
    """

    paths: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    repositories: list[str] = field(default_factory=list)
    failure: str | None = None

    def add(self, folder: str, inner: "Listing") -> None:
        """Take over what could not be listed in a repository in `folder`."""
        self.unreadable |= {f"{folder}/{path}": why for path, why in inner.unreadable.items()}
        self.repositories += [f"{folder}/{path}" for path in inner.repositories]
        self.failure = self.failure or inner.failure

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences for the user about what is left out unexpectedly."""
        sentences = [] if self.failure is None else [self.failure]
        sentences += [
            f"{path} cannot be understood ({reason}), so nothing in its folder is read; save it as"
            " UTF-8."
            for path, reason in sorted(self.unreadable.items())[:MAX_NAMED]
        ]
        if self.repositories:
            names = ", ".join(sorted(self.repositories)[:MAX_NAMED])
            more = len(self.repositories) - MAX_NAMED
            sentences.append(
                f"Repositories inside this one are not read ({names}"
                f"{f' and {more} more' if more > 0 else ''}); open them as folders of their own."
            )
        return tuple(sentences)


def list_paths(root: Path, is_wanted: Callable[[str], bool] = lambda path: True) -> Listing:
    """The files below `root` that are not ignored and for whose path `is_wanted` is true."""
    listing = Listing()
    try:
        listed = _git_paths(root, listing)
    except GitTimeoutError as error:
        # What git would ignore is not known, so nothing is read.
        listing.failure = str(error)
        return listing
    if listed is None:
        rules = _Rules(root, _top(root), ((IGNORE_FILE,), GIT_IGNORE_FILES), listing)
        paths: Iterator[str] = _walk(rules, "", listing)
    elif not listed and _is_ignored(root):  # by a repository around it, so it is none of its files
        rules = _Rules(root, root, ((IGNORE_FILE,), GIT_IGNORE_FILES), listing)
        paths = _walk(rules, "", listing)
    else:
        rules = _Rules(root, _top(root), ((IGNORE_FILE,),), listing)
        paths = iter(listed)
        listing.repositories = [path for path in listing.repositories if rules.enters(path)]
    listing.paths = [path for path in paths if is_wanted(path) and rules.allows(path)]
    return listing


def ignore_file_versions(root: Path, paths: Iterable[str]) -> dict[Path, FileVersion | None]:
    """The present versions of the ignore files that count for `paths`, None for absent ones.

    Cheap. Those that count from outside of `root`, such as a user's own for git, are not among
    them.
    """
    folders = {folder for path in paths for folder in PurePosixPath(path).parents}
    files = {root / ".git/info/exclude"} | {
        root / folder / name for folder in folders for name in (".gitignore", IGNORE_FILE)
    }
    return {file: file_version(file) for file in files}


def excluded_paths(root: Path, paths: Sequence[str]) -> set[str]:
    """Those of the paths, relative to `root`, that a rule excludes, whether they exist or not.

    All of them if git does not answer.
    """
    kinds: Sequence[Sequence[str]] = ((IGNORE_FILE,), GIT_IGNORE_FILES)
    top, ignored = _top(root), set[str]()
    try:
        if run_git(root, "rev-parse", "--git-dir", timeout_s=QUICK_S) is not None:
            if _is_ignored(root):
                top = root
            else:
                kinds = ((IGNORE_FILE,),)
                check = ("check-ignore", "-z", "--stdin")
                names = "\0".join(paths)
                output = run_git(root, *check, timeout_s=QUICK_S, text=names)
                ignored = set((output or "").split("\0"))
    except GitTimeoutError:
        return set(paths)
    rules = _Rules(root, top, kinds, Listing())
    return {path for path in paths if path in ignored or not rules.allows(path)}


def _git_paths(root: Path, listing: Listing) -> list[str] | None:
    """The files that git tracks or does not ignore; None where git does not answer.

    Raises `GitTimeoutError`.
    """
    for name in (*GIT_IGNORE_FILES, ".git/config", ".git/index", ".git/HEAD"):
        if not _is_file_or_absent(root / name):  # git would wait for the writer of a pipe
            listing.unreadable[name] = NO_FILE
    if listing.unreadable:
        return []
    options = ("ls-files", "-z", "--stage", "--cached", "--others", "--exclude-standard")
    closed: list[str] = []
    try:
        output = run_git(root, *options, timeout_s=QUICK_S)
    except GitTimeoutError:
        closed = _folders_with_pipes(root)
        listing.unreadable |= {f"{folder}/.gitignore": NO_FILE for folder in closed}
        inside = root.resolve().relative_to(_top(root))
        patterns = (_SPECIAL.sub(r"\\\g<0>", (inside / folder).as_posix()) for folder in closed)
        output = run_git(root, *options, *(f"--exclude=/{pattern}/" for pattern in patterns))
    if output is None:
        return None
    paths = set()
    for entry in filter(None, output.split("\0")):
        staged = _STAGED.fullmatch(entry)
        path = entry if staged is None else staged[2]
        if path.endswith("/") or (staged is not None and staged[1] == _SUBMODULE):
            listing.repositories.append(path.rstrip("/"))
        elif ".." not in PurePosixPath(path).parts and not any(
            path.startswith(f"{folder}/") for folder in closed
        ):
            paths.add(path)
    return sorted(paths)


def _folders_with_pipes(root: Path) -> list[str]:
    """The folders below `root` whose `.gitignore` git would wait for."""
    found = []
    for folder, inner, names in os.walk(root):
        inner[:] = [name for name in inner if name != ".git"]
        if ".gitignore" in names and not _is_file_or_absent(Path(folder, ".gitignore")):
            found.append(Path(folder).relative_to(root).as_posix())
            inner.clear()
    return found


def _is_ignored(root: Path) -> bool:
    """Whether a repository around `root` ignores all of it."""
    resolved = root.resolve()
    check = ("check-ignore", "--quiet", "--", resolved.name)
    return not (root / ".git").exists() and git(resolved.parent, *check) is not None


def _is_file_or_absent(path: Path) -> bool:
    try:
        return path.is_file() or not path.exists()
    except OSError:
        return True


def _top(root: Path) -> Path:
    """The root of the repository that `root` is in; `root` itself if it is in none."""
    resolved = root.resolve()
    for folder in (resolved, *resolved.parents):
        if (folder / ".git").exists():
            return folder
    return resolved


def _walk(rules: "_Rules", folder: str, listing: Listing) -> Iterator[str]:
    """Files of a folder, without git; links and hidden folders are not followed."""
    if not rules.enters(folder.rstrip("/")):
        return
    try:
        entries = sorted(os.scandir(rules.root / folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        path = folder + entry.name
        if not entry.is_dir(follow_symlinks=False):
            yield path
        elif entry.name.startswith("."):
            continue
        elif (rules.root / path / ".git").exists():  # a repository lists its own files
            inner = list_paths(rules.root / path)
            yield from (f"{path}/{name}" for name in inner.paths)
            listing.add(path, inner)
        else:
            yield from _walk(rules, path + "/", listing)


class _Rules:
    """The ignore files between `top` and each path below `root`, which is in `top`.

    `kinds` are groups of names of ignore files. A path is ignored if one group says so; within a
    group the innermost file decides, and of one folder the last named.
    """

    def __init__(
        self, root: Path, top: Path, kinds: Sequence[Sequence[str]], listing: Listing
    ) -> None:
        self.root = root.resolve()
        self._top = top.resolve()
        self._kinds = kinds
        self._listing = listing
        self._prefix = self.root.relative_to(self._top).parts
        self._files: dict[tuple[str, ...], list[list[IgnoreFile]] | None] = {}
        self._entered: dict[str, bool] = {"": self._enters_root()}

    def allows(self, path: str) -> bool:
        """Whether no rule excludes the file at `path`, which is relative to the root."""
        parts = (*self._prefix, *path.split("/"))
        return self.enters(path.rpartition("/")[0]) and not self._ignores(parts, is_folder=False)

    def enters(self, folder: str) -> bool:
        """Whether no rule excludes the folder, or one above it."""
        entered = self._entered.get(folder)
        if entered is None:
            outer, _, name = folder.rpartition("/")
            parts = (*self._prefix, *folder.split("/"))
            entered = self._entered[folder] = (
                self.enters(outer)
                and name not in PACKAGE_FOLDERS
                and not self._ignores(parts, is_folder=True)
                and not any((self.root / folder / mark).exists() for mark in PACKAGE_MARKS)
                and self._read(parts) is not None
            )
        return entered

    def _enters_root(self) -> bool:
        """Whether the ignore files down to the root are readable and do not ignore it."""
        outer = [self._prefix[:depth] for depth in range(len(self._prefix) + 1)]
        if any(self._read(parts) is None for parts in outer):
            return False
        return not any(self._ignores(parts, is_folder=True) for parts in outer[1:])

    def _ignores(self, parts: tuple[str, ...], *, is_folder: bool) -> bool:
        return any(self._ignores_by(kind, parts, is_folder) for kind in range(len(self._kinds)))

    def _ignores_by(self, kind: int, parts: tuple[str, ...], is_folder: bool) -> bool:
        for depth in range(len(parts) - 1, -1, -1):
            for file in reversed(self._read_kind(parts[:depth], kind)):
                decision = file.ignores(parts[depth:], is_folder=is_folder)
                if decision is not None:
                    return decision
        return False

    def _read_kind(self, folder: tuple[str, ...], kind: int) -> list[IgnoreFile]:
        files = self._read(folder)
        return [] if files is None else files[kind]

    def _read(self, folder: tuple[str, ...]) -> list[list[IgnoreFile]] | None:
        """The ignore files of a folder, by kind; None if one cannot be understood."""
        if folder not in self._files:
            files: list[list[IgnoreFile]] | None = [[] for _ in self._kinds]
            for kind, names in enumerate(self._kinds):
                for name in names:
                    path = self._top.joinpath(*folder, name)
                    try:
                        file = read_ignore_file(path)
                    except IgnoreFileError as error:
                        self._listing.unreadable["/".join((*folder, name))] = str(error)
                        files = None
                    else:
                        if file is not None and files is not None:
                            files[kind].append(file)
            self._files[folder] = files
        return self._files[folder]
