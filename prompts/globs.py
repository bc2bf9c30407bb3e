"""Path patterns as in `.gitignore`: which files a prompt is tuned on and which ones it serves.

Patterns may come from a stranger's file, so they are matched without backtracking. pathspec, which
reads ignore files, translates them to regular expressions that need exponential time on some.
"""

import fnmatch
from collections.abc import Sequence

_ANY_DEPTH = "**"


def matches(path: str, globs: Sequence[str]) -> bool:
    """Whether the last of `globs` that matches `path` includes it; `!` before a glob excludes.

    `path` starts at the repository's root and has forward slashes. docs/prompt-sharing.md holds
    the rules. The time is proportional to the parts of the path times those of the globs.
    """
    parts = path.split("/")
    included = False
    for glob in globs:
        if _matches(parts, glob.removeprefix("!")):
            included = not glob.startswith("!")
    return included


def _matches(parts: list[str], glob: str) -> bool:
    """Run the glob's parts as a nondeterministic automaton over the path's parts.

    A state is the index of the next part of the pattern; one past the end is a match.
    """
    pattern = glob.strip("/").split("/")
    if "/" not in glob.rstrip("/"):
        pattern.insert(0, _ANY_DEPTH)
    if pattern[-1] == _ANY_DEPTH:
        pattern.append("*")  # what is inside a folder, not the folder itself
    states = _skip_any_depth({0}, pattern)
    for n_parts, part in enumerate(parts, 1):
        # fnmatch's own expressions do not backtrack within one part.
        states = _skip_any_depth(
            {
                state if pattern[state] == _ANY_DEPTH else state + 1
                for state in states
                if state < len(pattern)
                and (pattern[state] == _ANY_DEPTH or fnmatch.fnmatchcase(part, pattern[state]))
            },
            pattern,
        )
        # A folder that matches includes everything below it.
        if len(pattern) in states and (n_parts < len(parts) or not glob.endswith("/")):
            return True
    return False


def _skip_any_depth(states: set[int], pattern: list[str]) -> set[int]:
    """`states`, and those behind each `**`, which may match no part at all."""
    reached = set(states)
    for state in sorted(states):
        while state < len(pattern) and pattern[state] == _ANY_DEPTH:
            state += 1
            reached.add(state)
    return reached
