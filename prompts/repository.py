"""Which prompt file a repository brings, and whether it may serve without being asked for."""

from dataclasses import dataclass
from pathlib import Path

from prompts.file import DEFAULT_PROMPT, read_manifest

UNPROVEN = (
    f"{DEFAULT_PROMPT} has not proved itself on held-out files; "
    "tune again, or name the file to use it all the same."
)


@dataclass(frozen=True)
class RepositoryPrompt:
    """`path` is None when the repository's prompt does not serve; `reason` then says why."""

    path: Path | None
    reason: str


def repository_prompt(root: Path) -> RepositoryPrompt:
    """The prompt that serves a repository: the one in `.attune/`, if it proved itself.

    Raises `prompts.errors.PromptError` if the file is there and cannot be used.
    """
    path = root / DEFAULT_PROMPT
    if not path.exists():
        return RepositoryPrompt(None, f"{DEFAULT_PROMPT} does not exist; run `attune tune`.")
    if not read_manifest(path).proven:
        return RepositoryPrompt(None, UNPROVEN)
    return RepositoryPrompt(path, "it proved itself on held-out files")
