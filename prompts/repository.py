"""Which prompt file a repository brings, and whether it may serve without being asked for."""

from dataclasses import dataclass
from pathlib import Path

from prompts.file import DEFAULT_PROMPT, SUFFIX, read_manifest

UNPROVEN = (
    "the repository's prompt has not proved itself on held-out files; "
    "tune again, or name its file to use it all the same"
)


@dataclass(frozen=True)
class RepositoryPrompt:
    """`path` is None when the repository's prompt does not serve; `reason` then says why."""

    path: Path | None
    reason: str


def unproven_path(path: Path) -> Path:
    """Where a prompt goes that did not prove itself: beside the good name, never over it."""
    return path.with_name(path.name.removesuffix(SUFFIX) + ".unproven" + SUFFIX)


def repository_prompt(root: Path) -> RepositoryPrompt:
    """The prompt that serves a repository: the one in `.attune/`, if it proved itself.

    Raises `prompts.errors.PromptError` if the file is there and cannot be used.
    """
    path = root / DEFAULT_PROMPT
    if path.exists():
        if read_manifest(path).proven:
            return RepositoryPrompt(path, "it proved itself on held-out files")
        return RepositoryPrompt(None, UNPROVEN)
    if unproven_path(path).exists():
        return RepositoryPrompt(None, UNPROVEN)
    return RepositoryPrompt(None, f"{DEFAULT_PROMPT} does not exist; run `attune tune`")
