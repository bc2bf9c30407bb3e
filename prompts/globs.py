"""Path patterns as in `.gitignore`: which files a prompt is tuned on and which ones it serves."""

import fnmatch
import re
from collections.abc import Sequence
from functools import lru_cache

from file_access.path_patterns import PatternPart, any_depth, matched_depths


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
    pattern = glob.strip("/").split("/")
    if "/" not in glob.rstrip("/"):
        pattern.insert(0, "**")
    if pattern[-1] == "**":
        pattern.append("*")  # what is inside a folder, not the folder itself
    # A folder that matches includes everything below it.
    return any(
        depth < len(parts) or not glob.endswith("/")
        for depth in matched_depths(parts, [_part_matcher(part) for part in pattern])
    )


@lru_cache(maxsize=4096)
def _part_matcher(part: str) -> PatternPart:
    # fnmatch's expressions do not backtrack from one star to another
    return any_depth if part == "**" else re.compile(fnmatch.translate(part)).match
