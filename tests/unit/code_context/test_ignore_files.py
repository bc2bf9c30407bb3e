"""Ignore files: git's answers, whatever their encoding, in time that no pattern can blow up."""

import codecs
import os
import random
import subprocess
from pathlib import Path

import pytest

from code_context.ignore_files import IgnoreFile, IgnoreFileError, parse_pattern, read_ignore_file

NAMES = ("a", "b", "ab", "a b", "a!", "#a", "[a]", "a-", "A", "1", "a.py", "*", "a\\")
PATHS = [
    *NAMES,
    *(f"{folder}/{name}" for folder in ("a", "b") for name in NAMES[:6]),
    *("a/b/a", "a/b/ab", "b/a/b", "b/a/a.py"),
]
PARTS = [
    *("*", "**", "a", "b", "?", "a*", "*b", "*.py", "[ab]", "[!a]", "[^a]", "[a-b]*", "[]a]*"),
    *("[[:alpha:]]", "[[:digit:][:upper:]]", "[z-a]", "[a", "[[:nonsense:]]", "\\a", "a\\*", "\\*"),
    *(
        "\\",
        "a\\ ",
        "a ",
        "a b",
        "\\#a",
        "#a",
        "a!",
        "\\!a",
        "[\\]a]*",
        "[a-]",
        "a**b",
        "a-",
        "[[]a]",
    ),
]


def ignored(lines: list[str], path: str) -> bool:
    """As callers do: a path in an ignored folder is ignored."""
    rules = IgnoreFile(tuple(filter(None, map(parse_pattern, lines))))
    parts = path.split("/")
    return any(
        rules.ignores(parts[:depth], is_folder=depth < len(parts))
        for depth in range(1, len(parts) + 1)
    )


def test_patterns_match_as_in_git(tmp_path: Path) -> None:
    """git itself is the oracle, on lines drawn from all combinations."""
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    chance = random.Random(7)
    for _ in range(150):
        lines = [
            chance.choice(("", "", "", "!", "/"))
            + "/".join(chance.choices(PARTS, k=chance.choice((1, 1, 2, 3))))
            + chance.choice(("", "", "/", " ", "\r"))
            for _ in range(chance.choice((1, 1, 3)))
        ]
        (tmp_path / ".gitignore").write_bytes("\n".join(lines).encode())
        asked = [*git, "check-ignore", "--no-index", "--stdin", "-z"]
        done = subprocess.run(
            asked, input="\0".join(PATHS), capture_output=True, text=True, check=False
        )
        expected = done.stdout.split("\0")[:-1]
        assert [path for path in PATHS if ignored(lines, path)] == expected, lines


@pytest.mark.timeout(20)
def test_no_pattern_takes_long() -> None:
    """Patterns that make a backtracking matcher run for years."""
    path = "/".join(["a" * 200] * 60)
    for line in (
        "**/a/" * 80 + "b",
        "*a" * 400 + "b",
        "*[a]?" * 150 + "b",
        "**/*a*a*ab/" * 40 + "c",
    ):
        assert not ignored([line] * 4, path)


@pytest.mark.parametrize(
    "content",
    [
        b"private/\n",
        codecs.BOM_UTF8 + b"private/\n",
        "private/\r\n".encode("utf-16"),
        codecs.BOM_UTF16_BE + "private/\n".encode("utf-16-be"),
        b"a\x0cb\nprivate/\n",
    ],
)
def test_every_encoding_that_editors_write_is_read(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "ignore").write_bytes(content)
    rules = read_ignore_file(tmp_path / "ignore")
    assert rules is not None
    assert rules.ignores(["private"], is_folder=True)
    assert rules.ignores(["public"], is_folder=True) is None


@pytest.mark.parametrize(
    "content",
    [
        "private/\n".encode("utf-16-le"),  # without a mark
        "private/\n".encode("utf-32"),
        "geh\N{LATIN SMALL LETTER A WITH DIAERESIS}ssig/".encode("latin-1"),
        codecs.BOM_UTF16_LE + b"p",
        b"x" * (1 << 20) + b"y",
        b"a\n" * 10_001,
        b"x" * 1_001,
    ],
)
def test_what_cannot_be_understood_is_an_error(content: bytes, tmp_path: Path) -> None:
    """It could exclude anything."""
    (tmp_path / "ignore").write_bytes(content)
    with pytest.raises(IgnoreFileError):
        read_ignore_file(tmp_path / "ignore")


@pytest.mark.timeout(20)
def test_what_is_no_regular_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret").write_text("x\n")
    path = tmp_path / "inside" / "ignore"
    assert read_ignore_file(path) is None
    for make in (
        os.mkfifo,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to(tmp_path / "secret"),
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.symlink_to(path.name),
        Path.mkdir,
    ):
        make(path)
        with pytest.raises(IgnoreFileError):
            read_ignore_file(path)
        path.rmdir() if path.is_dir() else path.unlink()
