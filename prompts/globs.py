"""Path patterns as in `.gitignore`, matched without backtracking, because strangers write them."""

import fnmatch
from collections.abc import Sequence

_ANY_DEPTH = "**"


def matches(path: str, globs: Sequence[str]) -> bool:
    """Whether the last of `globs` that matches `path` takes it in; `!` before a glob puts it out.

    `path` starts at the repository's root and has forward slashes. docs/prompt-sharing.md holds
    the rules. The time is proportional to the parts of the path times those of the globs.
    """
    parts = path.split("/")
    inside = False
    for glob in globs:
        if _matches(parts, glob.removeprefix("!")):
            inside = not glob.startswith("!")
    return inside


def _matches(parts: list[str], glob: str) -> bool:
    pattern = glob.strip("/").split("/")
    if "/" not in glob.rstrip("/"):
        pattern.insert(0, _ANY_DEPTH)
    if pattern[-1] == _ANY_DEPTH:
        pattern.append("*")  # what is inside a folder, not the folder itself
    reached = _past_any_depth({0}, pattern)
    for n_parts, part in enumerate(parts, 1):
        # fnmatch's own expressions do not backtrack within one part.
        reached = _past_any_depth(
            {
                place if pattern[place] == _ANY_DEPTH else place + 1
                for place in reached
                if place < len(pattern)
                and (pattern[place] == _ANY_DEPTH or fnmatch.fnmatchcase(part, pattern[place]))
            },
            pattern,
        )
        # A folder that matches takes in everything below it.
        if len(pattern) in reached and (n_parts < len(parts) or not glob.endswith("/")):
            return True
    return False


def _past_any_depth(places: set[int], pattern: list[str]) -> set[int]:
    """`places`, and those behind each `**` that stands for nothing."""
    reached = set(places)
    for place in sorted(places):
        while place < len(pattern) and pattern[place] == _ANY_DEPTH:
            place += 1
            reached.add(place)
    return reached
