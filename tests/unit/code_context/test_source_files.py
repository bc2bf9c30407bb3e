"""Which files are read, and why others are not: the same for completing and for tuning."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_context import source_files
from code_context.secrets import detect_secret
from code_context.source_files import (
    MAX_BYTES,
    MAX_LINE,
    ExcludedFile,
    exclusion_reason,
    list_files,
    read_source,
)

AWS_KEY = "AKIA" + "QYLPMN5HFIQR7XYA"
TREE = {
    "a.py": "x = 1\n",
    "src/b.py": "x = 1\n",
    "src/.gitignore": "generated_*.py\n!generated_kept.py\n",
    "src/generated_c.py": "x = 1\n",
    "src/generated_kept.py": "x = 1\n",
    "build/d.py": "x = 1\n",
    "vendor/e.py": "x = 1\n",
    ".hidden/f.py": "x = 1\n",
    ".gitignore": "/build/\n",
    ".attuneignore": "vendor/\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def python_files(root: Path, **limits: int) -> list[str]:
    return list(list_files(root, lambda path: path.endswith(".py"), **limits).paths)


def test_ignore_files_of_every_folder_hold_without_git(tree: Path) -> None:
    assert python_files(tree) == ["a.py", "src/b.py", "src/generated_kept.py"]


@pytest.mark.parametrize("line", ["!", "\\", "a\\", "[z-a]"])
def test_a_line_that_is_no_pattern_is_passed_over(tree: Path, line: str) -> None:
    (tree / ".gitignore").write_text(f"{line}\n/build/\n")
    assert python_files(tree) == ["a.py", "src/b.py", "src/generated_kept.py"]


def test_git_decides_where_there_is_git(tree: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
    assert python_files(tree) == [
        ".hidden/f.py", "a.py", "src/b.py", "src/generated_kept.py",
    ]  # fmt: skip


def test_nothing_that_the_repository_configures_runs(tree: Path) -> None:
    """git would run `core.fsmonitor`, and a downloaded archive can bring one."""
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
    hook = tree / "hook.sh"
    hook.write_text(f"#!/bin/sh\ntouch {tree}/ran\n")
    hook.chmod(0o755)
    subprocess.run(["git", "config", "core.fsmonitor", str(hook)], cwd=tree, check=True)
    assert python_files(tree)
    assert not (tree / "ran").exists()


def test_a_name_that_is_not_utf8_is_passed_over(tree: Path) -> None:
    (tree / "src" / os.fsdecode(b"caf\xe9.py")).write_text("x = 1\n")
    assert python_files(tree) == ["a.py", "src/b.py", "src/generated_kept.py"]


def test_symbolic_links_are_not_followed(tree: Path) -> None:
    (tree / "loop").symlink_to(tree, target_is_directory=True)
    (tree / "src" / "link.py").symlink_to(tree / "a.py")
    listed = python_files(tree)
    assert not any(path.startswith("loop/") for path in listed)
    assert read_source(tree, "src/link.py") == ExcludedFile("not a plain file")


def test_too_many_files_are_cut_to_the_least_deep(tree: Path) -> None:
    found = list_files(tree, lambda path: path.endswith(".py"), max_files=1)
    assert (found.paths, found.dropped) == (("a.py",), 2)
    (tree / "a").mkdir()
    (tree / "a" / "a.py").write_text("x = 1\n")
    (tree / "z.py").write_text("x = 1\n")
    found = list_files(tree, lambda path: path.endswith(".py"), max_files=2)
    assert (found.paths, found.notices) == (("a.py", "z.py"), ())
    (tree / ".attuneignore").write_bytes(b"priv\xe9/\n")
    (notice,) = list_files(tree, lambda path: True).notices
    assert notice.startswith(".attuneignore cannot be understood")


def test_a_source_file_is_inside_the_root(tree: Path, tmp_path: Path) -> None:
    """A link on the way out of it is refused, whatever a listing said."""
    (tree / "out").symlink_to(tmp_path.parent, target_is_directory=True)
    (tmp_path.parent / "outside.py").write_text("x = 1\n")
    assert read_source(tree, "out/outside.py") == ExcludedFile("not a plain file")


def test_a_file_that_may_not_be_read(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(source_files, "read_regular_file", refuse)
    assert read_source(tree, "a.py") == ExcludedFile("unreadable")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x\n" * (MAX_BYTES // 2), None),
        ("x\n" * (MAX_BYTES // 2) + "\n", "too large"),
        ("x" * MAX_LINE, None),
        ("x" * MAX_LINE + "\n", None),
        ("x" * (MAX_LINE + 1), "minified or data"),
        ("\n" + "x" * (MAX_LINE + 1), "minified or data"),
        ("x" * (MAX_LINE + 1) + "\n", "minified or data"),
        ("x" * (MAX_LINE + 1) + "\n" + "x\n" * MAX_LINE, "minified or data"),
        ("x" * 10 + "\n" + "x" * (MAX_LINE + 1) + "\nx\n", "minified or data"),
        ("\n" * (MAX_LINE + 1) + "x" * MAX_LINE, None),
        ("x" * MAX_LINE + "\n" + "x" * MAX_LINE + "\n", None),
        ("x" * MAX_LINE + "\n" + "x" * (MAX_LINE + 1), "minified or data"),
        ("a = '<<<<<<< '\n", None),
    ],
)
def test_limits_are_exact(text: str, reason: str | None) -> None:
    assert exclusion_reason(text) == reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"caf\xe9 = 1\n", "not UTF-8"),
        (b"x = 1\0\n", "binary"),
        (b" \n\n", "empty"),
        (b"x = [" + b"1, " * 1000 + b"]\n", "minified or data"),
        (b"x = 1\n" * 50_000, "too large"),
        (b"# Generated by a tool. DO NOT EDIT.\nx = 1\n", "generated"),
        (b"// @generated by a tool\n", "generated"),
        ("x = 1\n".encode("utf-16"), "UTF-16"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
        (b"<<<<<<< HEAD\nx = 1\n=======\nx = 2\n>>>>>>> other\n", "conflict markers"),
        (b"a\n<<<<<<< a\r\n||||||| b\r\n=======\r\n>>>>>>> c\r\n", "conflict markers"),
        (f'key = "{AWS_KEY}"\n'.encode(), "may hold a secret"),
        (b"-----BEGIN RSA PRIVATE KEY-----\nMII\n", "may hold a secret"),
    ],
)
def test_a_file_is_left_out_for_a_reason(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(content)
    assert read_source(tmp_path, "a.py") == ExcludedFile(reason)


@pytest.mark.parametrize(
    "text",
    [
        "def generate(self):\n    return self.do_not_edit_this\n",
        "text = 'this page is @generated'\n",
        "Title\n=======\n\nx << 7\n",
        "# version https://git-lfs.github.com/spec/v1\n",
        "# Do not modify cfg in place\nx = 1\n",
        "password = os.environ['PASSWORD']\n",
        "digest = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'\n",
        "url = 'amqp://guest:guest@localhost:5672//'\n",
    ],
)
def test_ordinary_code_is_read(text: str) -> None:
    assert exclusion_reason(text) is None


def test_a_coding_cookie_is_followed(tmp_path: Path) -> None:
    text = "# -*- coding: latin-1 -*-\nname = 'caf\xe9'\n"
    (tmp_path / "a.py").write_bytes(text.encode("latin-1"))
    assert read_source(tmp_path, "a.py") == text


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    assert isinstance(read_source(tmp_path, "none.py"), ExcludedFile)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"a = 1\nb = '{AWS_KEY}'\n", "AWS Access Key"),
        ("token = 'ghp_" + "a1B2" * 9 + "'\n", "GitHub Token"),
        ("hook = 'xoxb-" + "123456789012-abcdefghij'\n", "Slack Token"),
        ("nothing = 'here'\n", None),
    ],
)
def test_kinds_of_secrets(text: str, kind: str | None) -> None:
    assert detect_secret(text) == kind


@given(st.lists(st.sampled_from(["a" * 400, "a" * MAX_LINE, "a", "\n", "\r", "\f", "\u2028"])))
@settings(deadline=None)
def test_a_line_is_long_if_splitlines_says_so(pieces: list[str]) -> None:
    text = "".join(pieces)
    longest = max(map(len, text.splitlines()), default=0)
    assert (exclusion_reason(text) == "minified or data") is (longest > MAX_LINE)
