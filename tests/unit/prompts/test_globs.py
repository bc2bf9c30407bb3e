"""Patterns: gitignore's answers, in time that no pattern can blow up."""

import itertools
import random
import subprocess
from pathlib import Path

import pytest

from prompts.globs import matches

PATHS = ["/".join(parts) for n in (1, 2, 3, 4) for parts in itertools.product("ab", repeat=n)]
GLOBS = [
    f"{start}{'/'.join(parts)}{end}"
    for n in (1, 2, 3)
    for parts in itertools.product(["*", "**", "a", "a*", "[ab]", "?"], repeat=n)
    for start in ("", "/")
    for end in ("", "/")
]


def test_one_glob_matches_as_in_git(tmp_path: Path) -> None:
    """git itself is the oracle, on patterns drawn from all short ones."""
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    for glob in random.Random(7).sample(GLOBS, 80):
        (tmp_path / ".gitignore").write_text(f"{glob}\n")
        asked = [*git, "check-ignore", "--no-index", "--stdin"]
        done = subprocess.run(
            asked, input="\n".join(PATHS), capture_output=True, text=True, check=False
        )
        assert [path for path in PATHS if matches(path, [glob])] == done.stdout.split(), glob


def test_the_last_match_decides() -> None:
    """`!` takes back, and a later pattern takes in again."""
    globs = ["src/**", "!src/generated/**", "src/generated/keep.py"]
    assert matches("src/a.py", globs)
    assert not matches("src/generated/a.py", globs)
    assert matches("src/generated/keep.py", globs)
    assert not matches("docs/a.py", globs)
    assert not matches("src/a.py", [])


@pytest.mark.timeout(20)
def test_no_pattern_takes_long() -> None:
    """Patterns that make a backtracking matcher run for years."""
    path = "/".join(["a" * 60] * 60)
    for glob in ("**/a/" * 80 + "b", "*a" * 120 + "b", "**/*a*a*a*a*a*b/" * 15 + "c"):
        assert not matches(path, [glob] * 4)
