"""Which prompt serves a document: the one that a person named, or that the routes lead to.

A file is looked at by its time and size whenever it is asked for, and read again when they changed.
A file that has become bad leaves the prompt that was read before in its place.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from prompts import globs
from prompts.errors import PromptError
from prompts.file import DEFAULT_PROMPT, SUFFIX, PromptFile, read_prompt
from prompts.manifest import Manifest, ModelIdentity
from prompts.routing import (
    FILE_NAME,
    FOLDER,
    Configuration,
    Route,
    prompt_file,
    read_configuration,
)
from prompts.signature import signature_path
from prompts.trust import check_serving, consents_path
from prompts.user import store_folder, user_folder

UNPROVEN = (
    "the repository's prompt has not proved itself on held-out files; "
    "tune again, or name its file to use it all the same"
)
NONE_YET = 'there is none yet; run "attune tune" in this repository'

READS = 3
"""Times that a file is read while it changes under the reader, before the old prompt stays."""

FileVersion = tuple[int, int, int] | None
Value = TypeVar("Value")


@dataclass(frozen=True)
class Choice:
    """`prompt` is None when none serves, and `reason` says why; `problems` are whole sentences."""

    prompt: PromptFile | None
    reason: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Candidate:
    path: Path
    by_name: bool
    """A person named it, in the settings or in a route; so it serves without proof."""


def unproven_path(path: Path) -> Path:
    """Where a prompt goes that did not prove itself: beside the good name, never over it."""
    return path.with_name(path.name.removesuffix(SUFFIX) + ".unproven" + SUFFIX)


class RepositoryPrompts:
    """The prompts of one repository, followed on disk; one thread at a time.

    `named` is a file that serves everything; without it, the routes of `.attune/attune.toml`
    decide, then the repository's own prompt if it proved itself, then the user's own routes.
    A prompt of another model than `model` is refused by its header; `accept` raises `PromptError`
    for one that cannot serve here for another reason. Unless
    the workspace is `trusted`, a file of it that is not `named` serves only with the user's consent
    (`prompts.trust`).
    """

    def __init__(
        self,
        root: Path | None,
        named: Path | None = None,
        accept: Callable[[PromptFile], object] = lambda prompt: None,
        *,
        model: ModelIdentity | None = None,
        trusted: bool = True,
    ) -> None:
        self._root = root
        self._model = model
        self._named = named if named is None or root is None else root / named
        self._accept = accept
        self._trusted = trusted or named is not None  # to name one is to consent
        self._prompts: dict[Path, _Followed[PromptFile | None]] = {}
        self._configurations: dict[Path, _Followed[Configuration]] = {}

    def choose(
        self,
        path: str | None,
        language: str | None = None,
        misfit: Callable[[PromptFile], str | None] = lambda prompt: None,
    ) -> Choice:
        """The prompt for the document at `path`, which starts at the repository's root.

        `language` is the document's LSP language identifier, None if it is not known. A `path` of
        None stands for any document: every route takes it, and every prompt serves it. `misfit`
        says why a prompt does not fit the document, None if it does; one that a person named for
        everything is not asked about.
        """
        problems: list[str] = []
        reason = NONE_YET
        for candidate in self._candidates(path, problems):
            followed = self._prompts.setdefault(
                candidate.path,
                _Followed(candidate.path, self._read, None, _what_vouches(candidate.path)),
            )
            followed.look()
            prompt = followed.value
            if followed.problem is not None:
                problems.append(followed.problem)
            elif not followed.exists and candidate.by_name:
                problems.append(
                    f"The prompt file {candidate.path} does not exist; "
                    "fetch it, or name another one."
                )
            if prompt is None:
                if not candidate.by_name and unproven_path(candidate.path).exists():
                    reason = UNPROVEN
            elif not candidate.by_name and not prompt.manifest.proven:
                reason = UNPROVEN
            elif path is not None and not serves(prompt.manifest, path, language):
                reason = f"prompt {prompt.manifest.name} is not for this file"
            elif self._named is None and (why := misfit(prompt)) is not None:
                reason = why
            else:
                return Choice(prompt, "", tuple(problems))
        return Choice(None, reason, tuple(problems))

    def refresh(self) -> Choice:
        """Read what has changed among all that was asked for; the choice for any document."""
        for followed in self._prompts.values():
            followed.look()
        return self.choose(None)

    def stamp(self) -> tuple[object, ...]:
        """Differs whenever a file that was asked for has changed; any thread may call it."""
        prompts = [one.stamp() for one in tuple(self._prompts.values())]
        return (*prompts, *(one.stamp() for one in tuple(self._configurations.values())))

    def folders(self) -> set[Path]:
        """The folders in which a change may change a choice."""
        named = () if self._named is None else (self._named.parent,)
        own = () if self._root is None else (self._root / FOLDER,)
        return {*named, *own, user_folder()}

    def _read(self, path: Path) -> PromptFile:
        prompt = read_prompt(path, self._model)
        self._accept(prompt)
        if not path.is_relative_to(user_folder()):
            check_serving(path, prompt.sha256 or "", trusted=self._trusted)
        return prompt

    def _candidates(self, path: str | None, problems: list[str]) -> Iterator[_Candidate]:
        if self._named is not None:
            yield _Candidate(self._named, by_name=True)
            return
        if self._root is not None:
            folder = self._root / FOLDER
            yield from _routed(self._routes(folder, problems), path, folder)
            yield _Candidate(self._root / DEFAULT_PROMPT, by_name=False)
        folder = user_folder()
        yield from _routed(self._routes(folder, problems), path, folder)

    def _routes(self, folder: Path, problems: list[str]) -> tuple[Route, ...]:
        file = folder / FILE_NAME
        followed = self._configurations.setdefault(
            file, _Followed(file, read_configuration, Configuration())
        )
        followed.look()
        if followed.problem is not None:
            problems.append(followed.problem)
        return followed.value.routes


def serves(manifest: Manifest, path: str, language: str | None) -> bool:
    """Whether a prompt is meant for the document, as its manifest says."""
    if language is not None and manifest.languages and language not in manifest.languages:
        return False
    return not manifest.globs or globs.matches(path, manifest.globs)


def _routed(routes: tuple[Route, ...], path: str | None, folder: Path) -> Iterator[_Candidate]:
    for route in routes:
        if path is None or route.takes(path):
            yield _Candidate(prompt_file(route.prompt, folder, store_folder()), by_name=True)


class _Followed(Generic[Value]):
    """What `read` made of a file when it was last good; `absent` when there is no file.

    What stands in the files `beside` it matters to `read` too.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[Path], Value],
        absent: Value,
        beside: tuple[Path, ...] = (),
    ) -> None:
        self._path = path
        self._beside = beside
        self._read = read
        self._absent = absent
        self.value = absent
        self.exists = False
        self._versions: tuple[FileVersion, ...] = (None,) * (1 + len(beside))
        self.problem: str | None = None
        """Why the file as it is now cannot be used, as a sentence."""

    def look(self) -> None:
        """Read the file if it has changed since the last look."""
        for _ in range(READS):
            versions = self.stamp()
            if versions == self._versions:
                return
            exists = versions[0] is not None
            value, problem = self._absent, None
            if exists:
                try:
                    value = self._read(self._path)
                except PromptError as error:
                    value, problem = self.value, str(error)
            if self.stamp() == versions:
                self.value, self.problem, self.exists = value, problem, exists
                self._versions = versions
                return
        # Still being written: what was good goes on, and the next look decides.

    def stamp(self) -> tuple[FileVersion, ...]:
        """The versions of the file and of those beside it, at this moment."""
        return tuple(_version(path) for path in (self._path, *self._beside))


def _what_vouches(path: Path) -> tuple[Path, ...]:
    return signature_path(path), consents_path()


def _version(path: Path) -> FileVersion:
    """Changes whenever the file is replaced or written; None while there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
