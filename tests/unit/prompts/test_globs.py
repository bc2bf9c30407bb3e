"""Patterns: gitignore's answers, in time that no pattern can blow up."""

import dataclasses
import itertools
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.file import PromptFile
from prompts.globs import matches
from prompts.router import serves
from tuning.corpus import CorpusError, SourceFile
from tuning.split import included

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


TREE = ("a.py", "src/a.py", "src/gen/b.py", "src/gen/keep.py", "src#/a.py", "docs/[a].md", "a b.py")
AGREEMENT = [
    ((), TREE),
    (("src/**",), ("src/a.py", "src/gen/b.py", "src/gen/keep.py")),
    (("src/", "!src/gen/b.py"), ("src/a.py", "src/gen/keep.py")),
    (("!src/gen/b.py", "src/"), ("src/a.py", "src/gen/b.py", "src/gen/keep.py")),
    (("*.py", "!gen/", "keep.py"), ("a.py", "src/a.py", "src/gen/keep.py", "src#/a.py", "a b.py")),
    (("src#/",), ("src#/a.py",)),
    (("a?b.py",), ("a b.py",)),
    (("/a*.py",), ("a.py", "a b.py")),
    (("[z-a]", "docs/*"), ("docs/[a].md",)),
    (("[", "src/a.py"), ("src/a.py",)),
    (("\\a.py", "/a.py"), ("a.py",)),
    (("!", "/", "src/a.py"), ("src/a.py",)),
    (("#a", "# a comment", "src/a.py"), ("src/a.py",)),
]


def files(*paths: str) -> tuple[SourceFile, ...]:
    return tuple(SourceFile(path, "x = 1\n") for path in paths)


def tuned_on(paths: tuple[str, ...], globs: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(file.path for file in included(files(*paths), globs))
    except CorpusError:
        return ()


@pytest.mark.parametrize(("globs", "expected"), AGREEMENT)
def test_a_prompt_serves_the_files_that_include_names(
    kv_prompt: PromptFile, globs: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    """`attune tune --include` and the manifest's `globs` follow the same rules."""
    manifest = dataclasses.replace(kv_prompt.manifest, globs=globs)
    assert tuple(path for path in TREE if serves(manifest, path, None)) == expected
    assert tuned_on(TREE, globs) == expected


PARTS = st.text("ab#!\\[]-*? .", min_size=1, max_size=4)


@given(
    paths=st.lists(st.lists(PARTS, min_size=1, max_size=3).map("/".join), min_size=1, max_size=6),
    globs=st.lists(
        st.tuples(st.sampled_from(["", "!", "/"]), st.lists(PARTS | st.just("**"), min_size=1))
        .map(lambda parts: parts[0] + "/".join(parts[1]))
        .map(lambda glob: glob[:256]),
        min_size=1,
        max_size=4,
    ).map(tuple),
)
def test_tuning_and_serving_agree_on_any_pattern(
    kv_prompt: PromptFile, paths: list[str], globs: tuple[str, ...]
) -> None:
    manifest = dataclasses.replace(kv_prompt.manifest, globs=globs)
    served = tuple(path for path in paths if serves(manifest, path, None))
    assert tuned_on(tuple(paths), globs) == served
