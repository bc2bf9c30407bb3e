"""Which prompt serves a document: the one that the settings name, or the first fitting route.

Each file's time, size and inode are checked at every request, and it is read again when they have
changed. If it cannot be read then, the prompt that was read before keeps serving.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from file_access.file_version import FileVersion, file_version
from prompts import globs
from prompts.configuration import (
    FILE_NAME,
    FOLDER,
    Configuration,
    Route,
    prompt_file,
    read_configuration,
)
from prompts.errors import PromptError
from prompts.file import DEFAULT_PROMPT, SUFFIX, PromptFile, read_prompt
from prompts.manifest import Manifest, ModelIdentity
from prompts.signature import signature_path
from prompts.trust import check_serving, consents_path
from prompts.user import store_folder, user_folder

UNPROVEN = (
    "the repository's prompt is not proven on held-out files; "
    "tune again, or name its file to use it anyway"
)
NO_PROMPT = 'there is none yet; run "attune tune" in this repository'

MAX_READS = 3
"""Attempts to read a file that changes meanwhile, before the earlier content is kept."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class RoutingResult:
    """`prompt` is None when none serves, and `reason` says why; `problems` are whole sentences."""

    prompt: PromptFile | None
    reason: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Candidate:
    path: Path
    by_name: bool
    """Named in the settings or in a route; so it serves without proof."""


def unproven_path(path: Path) -> Path:
    """Where a prompt without proof is written instead of to `path`, so that it never serves."""
    return path.with_name(path.name.removesuffix(SUFFIX) + ".unproven" + SUFFIX)


class PromptRouter:
    """Chooses among the prompts of one repository, as they are on disk; not thread-safe.

    `named` is a file that is the only candidate, proven or not; its own languages and patterns
    still apply. Without it, the routes of `.attune/attune.toml` decide, then the repository's own
    prompt if it is proven, then the user's own routes. A prompt
    of another model than `model` is refused by its header; `accept` raises `PromptError` for a
    prompt that cannot serve for another reason. Unless the workspace is `trusted`, a file in it
    that is not `named` serves only if the user trusts it (`prompts.trust`).
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
        self._trusted = trusted or named is not None  # naming a file is consent
        self._prompts: dict[Path, _CachedFile[PromptFile | None]] = {}
        self._configurations: dict[Path, _CachedFile[Configuration]] = {}

    def choose(
        self,
        path: str | None,
        language: str | None = None,
        misfit: Callable[[PromptFile], str | None] = lambda prompt: None,
    ) -> RoutingResult:
        """The prompt for the document at `path`, which starts at the repository's root.

        `language` is the document's LSP language identifier, None if it is not known. A `path` of
        None means any document: every route matches it, and every prompt serves it. `misfit`
        returns why a prompt does not fit the document, None if it does; it is not called for the
        prompt that is `named`.
        """
        problems: list[str] = []
        reason = NO_PROMPT
        for candidate in self._candidates(path, problems):
            file = self._prompts.setdefault(
                candidate.path,
                _CachedFile(candidate.path, self._read, None, _trust_files(candidate.path)),
            )
            file.refresh()
            prompt = file.value
            if file.problem is not None:
                problems.append(file.problem)
            elif not file.exists and candidate.by_name:
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
                return RoutingResult(prompt, "", tuple(problems))
        return RoutingResult(None, reason, tuple(problems))

    def refresh(self) -> RoutingResult:
        """Read all files that have changed; the prompt for any document."""
        for file in self._prompts.values():
            file.refresh()
        return self.choose(None)

    def stamp(self) -> tuple[object, ...]:
        """A value that differs whenever a file that was used has changed; thread-safe."""
        prompts = [file.stamp() for file in tuple(self._prompts.values())]
        return (*prompts, *(file.stamp() for file in tuple(self._configurations.values())))

    def folders(self) -> set[Path]:
        """The folders in which a change may change which prompt serves."""
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
        cached = self._configurations.setdefault(
            file, _CachedFile(file, read_configuration, Configuration())
        )
        cached.refresh()
        if cached.problem is not None:
            problems.append(cached.problem)
        return cached.value.routes


def serves(manifest: Manifest, path: str, language: str | None) -> bool:
    """Whether a prompt's manifest, by its languages and globs, includes the document."""
    if language is not None and manifest.languages and language not in manifest.languages:
        return False
    return not manifest.globs or globs.matches(path, manifest.globs)


def _routed(routes: tuple[Route, ...], path: str | None, folder: Path) -> Iterator[_Candidate]:
    for route in routes:
        if path is None or route.matches(path):
            yield _Candidate(prompt_file(route.prompt, folder, store_folder()), by_name=True)


class _CachedFile(Generic[Value]):
    """The result of `read` for the last readable version of a file; `absent` without a file.

    `related` files are inputs of `read` too.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[Path], Value],
        absent: Value,
        related: tuple[Path, ...] = (),
    ) -> None:
        self._path = path
        self._related = related
        self._read = read
        self._absent = absent
        self.value = absent
        self.exists = False
        self._versions: tuple[FileVersion | None, ...] = (None,) * (1 + len(related))
        self.problem: str | None = None
        """Why the present version of the file cannot be used, as a sentence."""

    def refresh(self) -> None:
        """Read the file if it has changed since the last call."""
        for _ in range(MAX_READS):
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
        # It is still being written: keep the value, and let the next call decide.

    def stamp(self) -> tuple[FileVersion | None, ...]:
        """The present versions of the file and of those that are related."""
        return tuple(file_version(path) for path in (self._path, *self._related))


def _trust_files(path: Path) -> tuple[Path, ...]:
    return signature_path(path), consents_path()
