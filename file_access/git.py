"""Run git on a repository that may come from a stranger, and read the user's own configuration.

A downloaded repository brings its own `.git/config`, which can name programs: hooks, a file system
monitor, diff and filter drivers, a program that checks signatures, transports. None of them runs
here. Variables like GIT_DIR, which git sets for hooks, would point git to another repository.
"""

import os
import re
import subprocess
from pathlib import Path

TIMEOUT_S = 60.0
_KEPT_VARIABLES = {
    "GIT_CEILING_DIRECTORIES",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
    "GIT_EXEC_PATH",
}
"""The user's own settings of git, which say nothing about one repository."""
_NO_PROGRAMS = (
    "--no-pager",
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "log.showSignature=false"),
    *("-c", "protocol.allow=never"),
)
_FILTER = re.compile(r"(filter\..*)\.(?:clean|smudge|process|required)", re.DOTALL)


class GitTimeoutError(Exception):
    """git did not answer in time; the message is a sentence."""


def environment() -> dict[str, str]:
    """The environment for git: without variables that choose a repository or change its output."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name in _KEPT_VARIABLES
    }
    # A partial clone would fetch what it lacks, by a program that its configuration names.
    return kept | {"GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def git(root: Path, *arguments: str) -> str | None:
    """The output of a command that only reads the repository at `root`; None if it fails.

    Use `diff` to compare with files on disk.
    """
    try:
        return run_git(root, *arguments)
    except GitTimeoutError:
        return None


def run_git(
    root: Path, *arguments: str, timeout_s: float = TIMEOUT_S, text: str = ""
) -> str | None:
    """As `git`, with `text` to read, but raises `GitTimeoutError` without an answer in time."""
    command = ["git", "-C", str(root), *_NO_PROGRAMS, *arguments]
    try:
        completed = subprocess.run(
            command,
            capture_output=True,
            check=True,
            input=os.fsencode(text),
            env=environment(),
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        raise GitTimeoutError(
            f"git did not answer in {root} within {timeout_s:g} seconds; run `git status` there to"
            " see why."
        ) from None
    except (OSError, subprocess.SubprocessError):
        return None
    return os.fsdecode(completed.stdout)


def diff(root: Path, *arguments: str) -> str | None:
    """The output of `git diff`, without drivers and filters; None if it fails."""
    keys = git(root, "config", "--list", "--name-only", "-z") or ""
    filters = {match[1] for key in keys.split("\0") if (match := _FILTER.fullmatch(key))}
    without_filters = [
        option
        for name in sorted(filters)
        for setting in ("clean=", "smudge=", "process=", "required=false")
        for option in ("-c", f"{name}.{setting}")
    ]
    options = ("--no-color", "--no-ext-diff", "--no-textconv", "--ignore-submodules=all")
    return git(root, "-c", "core.quotepath=off", *without_filters, "diff", *options, *arguments)


def user_path_setting(name: str) -> Path | None:
    """The file that a setting of the user's global configuration names; None if there is none.

    A repository's own configuration is not read.
    """
    command = ["git", "config", "--global", "--type=path", "--get", name]
    try:
        completed = subprocess.run(
            command, capture_output=True, check=False, timeout=TIMEOUT_S, env=environment()
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    value = os.fsdecode(completed.stdout).rstrip("\n")
    return Path(value) if completed.returncode == 0 and value and Path(value).is_file() else None
