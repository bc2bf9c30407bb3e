"""A repository's history in git: the newest lines, and what changed since a commit."""

import re
from collections.abc import Collection
from pathlib import Path

from file_access.git import diff, git

NEWEST_SHARE = 0.08  # of the files, at most, are touched by the newest commits, which are held out
MAX_COMMITS = 50
_HUNK = re.compile(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@")


def commit_of(repository: Path) -> str | None:
    """The checked-out commit, None outside git or before the first commit."""
    shown = git(repository, "rev-parse", "--verify", "-q", "HEAD")
    return shown.strip() if shown else None


def newest_lines(repository: Path, paths: Collection[str]) -> dict[str, set[int]]:
    """Lines (from 0) that the newest commits added to files of `paths`, by file.

    As many commits as together touch no more than `NEWEST_SHARE` of the files; none where there is
    no history before them.
    """
    logged = git(
        repository, "log", "--no-merges", "--relative", "--name-only", "-z", "--format=%x01%H",
        f"-{MAX_COMMITS}",
    )  # fmt: skip
    touched: set[str] = set()
    oldest = None
    for entry in (logged or "").split("\x01")[1:]:
        commit, _, names = entry.partition("\0")
        now = touched | {name.strip("\n") for name in names.split("\0")} & set(paths)
        if len(now) > max(2, NEWEST_SHARE * len(paths)):
            break
        touched, oldest = now, commit.strip()
    if oldest is None or git(repository, "rev-parse", "--verify", "-q", f"{oldest}^") is None:
        return {}
    changed = _added(repository, f"{oldest}^")
    return {path: lines for path, lines in changed.items() if path in touched and lines}


def changed_since(repository: Path, commit: str) -> dict[str, set[int]] | None:
    """Lines (from 0) added or changed since a commit, by file, uncommitted ones included.

    None outside git or if the commit is unknown. Files that git does not know yet are not listed.
    """
    return None if _known(repository, commit) is None else _added(repository, commit)


def commits_since(repository: Path, commit: str) -> int | None:
    """How many commits came after one, None if it is unknown here."""
    counted = git(repository, "rev-list", "--count", f"{commit}..HEAD")
    return int(counted) if counted else None


def _known(repository: Path, commit: str) -> str | None:
    return git(repository, "cat-file", "-e", f"{commit}^{{commit}}")


def _added(repository: Path, commit: str) -> dict[str, set[int]]:
    shown = diff(
        repository, "-U0", "--relative", "--no-renames",
        "--src-prefix=a/", "--dst-prefix=b/", commit, "--",
    )  # fmt: skip
    added: dict[str, set[int]] = {}
    path = None
    for line in (shown or "").split("\n"):
        if line.startswith("+++ "):
            path = line[6:].rstrip("\t") if line.startswith("+++ b/") else None
        elif path is not None and (hunk := _HUNK.match(line)):
            start, count = int(hunk[1]), int(hunk[2] or 1)
            added.setdefault(path, set()).update(range(start - 1, start - 1 + count))
    return added
