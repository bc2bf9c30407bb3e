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


def test_each_part_of_a_pattern_matches_as_in_git(tmp_path: Path) -> None:
    """One folder for each pattern, so that git is asked once for all of them."""
    patterns = [
        *PARTS,
        *("??", "a?", "a[b]", "a[ ]b", "[a]b", "[a]?[a-b]", "[#a]*", "[!z-a]", "[!z-a]b", "a[z-a]"),
        *("[[:digit:]a]*", "[a[:digit:]]*", "[![:alpha:]]*", "[[:digit:]-a]*", "[--a]*", "[+-]*"),
        *(
            "[[:alpha:]",
            "[[:alpha:a]",
            "[[:]*",
            "[[::]]",
            "[[:a]]*",
            "[[:a]b:]",
            "[a-[:digit:]]*",
            "[b-a]b",
            "[a-a]b",
            "[a-",
            "[\\",
            "a[!a]",
        ),
    ]
    names = [name for name in NAMES if name != "*"]
    names += ["aa", "aab", "]", "-", "a]", "1a", "+", "z", "zb", "bb"]
    subprocess.run(["git", "-C", str(tmp_path), "init", "-q"], check=True)
    for index, pattern in enumerate(patterns):
        (tmp_path / str(index)).mkdir()
        (tmp_path / str(index) / ".gitignore").write_bytes(pattern.encode())
    paths = [f"{index}/{name}" for index in range(len(patterns)) for name in names]
    asked = ["git", "-C", str(tmp_path), "check-ignore", "--no-index", "--stdin", "-z"]
    done = subprocess.run(
        asked, input="\0".join(paths), capture_output=True, text=True, check=False
    )
    expected = done.stdout.split("\0")[:-1]
    assert len(expected) > len(patterns)
    assert [
        f"{index}/{name}"
        for index, pattern in enumerate(patterns)
        for name in names
        if ignored([pattern], name)
    ] == expected


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
    ("content", "why"),
    [
        ("private/\n".encode("utf-16-le"), "it holds null characters"),  # without a mark
        ("private/\n".encode("utf-32"), "it holds null characters"),
        ("geh\N{LATIN SMALL LETTER A WITH DIAERESIS}ssig/".encode("latin-1"), "it is not UTF-8"),
        (codecs.BOM_UTF16_LE + b"p", "it is not UTF-8"),
        (b"x" * (1 << 20) + b"y", "larger than"),
        (b"a\n" * 10_000, "it has more than 10000 lines"),
        (b"x" * 1_001, "a pattern has more than 1000 characters"),
    ],
)
def test_what_cannot_be_understood_is_an_error(content: bytes, why: str, tmp_path: Path) -> None:
    """It could exclude anything."""
    (tmp_path / "ignore").write_bytes(content)
    with pytest.raises(IgnoreFileError, match=f"^{why}"):
        read_ignore_file(tmp_path / "ignore")


def test_a_line_is_one_pattern_and_as_many_as_allowed_are_read(tmp_path: Path) -> None:
    (tmp_path / "ignore").write_bytes(b"a b\n" + b"\n" * 9_998 + b"x" * 1_000)
    rules = read_ignore_file(tmp_path / "ignore")
    assert rules is not None
    assert [rules.ignores([name], is_folder=False) for name in ("a b", "a", "b")] == [
        True,
        None,
        None,
    ]


@pytest.mark.timeout(20)
def test_what_is_no_regular_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret").write_text("x\n")
    path = tmp_path / "inside" / "ignore"
    assert read_ignore_file(path) is None
    for make, why in (
        (os.mkfifo, "it is a folder, a pipe or a device"),
        (lambda path: path.symlink_to("/dev/zero"), "out of"),
        (lambda path: path.symlink_to(tmp_path / "secret"), "out of"),
        (lambda path: path.symlink_to("nowhere"), "its link leads nowhere"),
        (lambda path: path.symlink_to(path.name), "links"),
        (Path.mkdir, "it is a folder, a pipe or a device"),
    ):
        make(path)
        with pytest.raises(IgnoreFileError, match=why):
            read_ignore_file(path)
        path.rmdir() if path.is_dir() else path.unlink()
