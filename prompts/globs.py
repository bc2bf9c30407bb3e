"""Path patterns as in `.gitignore`: which files a prompt is tuned on and which ones it serves."""

from collections.abc import Sequence

from file_access.path_patterns import ANY_DEPTH, matched_depths


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
        pattern.insert(0, ANY_DEPTH)
    if pattern[-1] == ANY_DEPTH:
        pattern.append("*")  # what is inside a folder, not the folder itself
    # A folder that matches includes everything below it.
    return any(
        depth < len(parts) or not glob.endswith("/") for depth in matched_depths(parts, pattern)
    )
