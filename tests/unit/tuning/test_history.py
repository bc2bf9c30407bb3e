"""History in git: the newest lines are held out, and changed lines are listed."""

import subprocess
from pathlib import Path

from tuning.corpus import collect
from tuning.history import changed_since, commit_of, commits_since, newest_lines
from tuning.split import split


def commit(root: Path, message: str) -> None:
    name = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    subprocess.run(["git", *name, "commit", "-q", "-m", message], cwd=root, check=True)


def append(root: Path, path: str, text: str) -> int:
    """Add text to a file; returns its first new line."""
    file = root / path
    before = file.read_text()
    file.write_text(before + text)
    return before.count("\n")


def test_one_commit_is_no_history(git_repository: Path) -> None:
    paths = [file.path for file in collect(git_repository).files]
    assert newest_lines(git_repository, paths) == {}


def test_the_newest_lines_are_proved_on(git_repository: Path) -> None:
    first = append(git_repository, "package/file_3.py", "\n\ndef quite_new():\n    return 3\n")
    commit(git_repository, "Add a function")
    files = collect(git_repository).files
    newest = newest_lines(git_repository, [file.path for file in files])
    assert newest == {"package/file_3.py": set(range(first, first + 4))}
    for seed in range(5):
        assert "package/file_3.py" in {file.path for file in split(files, seed, newest).test}


def test_a_commit_that_touches_everything_is_not_held_out(git_repository: Path) -> None:
    files = collect(git_repository).files
    for file in files:
        append(git_repository, file.path, "\nmore = 1\n")
    commit(git_repository, "Touch everything")
    assert newest_lines(git_repository, [file.path for file in files]) == {}


def test_changes_since_a_commit_include_uncommitted_ones(git_repository: Path) -> None:
    before = commit_of(git_repository)
    assert before is not None
    append(git_repository, "package/file_1.py", "one = 1\n")
    commit(git_repository, "Add a line")
    append(git_repository, "package/file_2.py", "two = 2\n")
    changed = changed_since(git_repository, before)
    assert changed is not None
    assert set(changed) == {"package/file_1.py", "package/file_2.py"}
    assert all(len(lines) == 1 for lines in changed.values())
    assert commits_since(git_repository, before) == 1
    assert changed_since(git_repository, "0" * 40) is None


def test_outside_git_there_is_no_past(repository: Path) -> None:
    assert commit_of(repository) is None
    assert newest_lines(repository, ["package/file_1.py"]) == {}
    assert changed_since(repository, "0" * 40) is None
