"""Which paths are listed: what a person excluded never is, and what is left out is reported."""

import codecs
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from code_context import file_listing
from code_context.file_listing import list_paths
from code_context.source_files import list_files, read_source
from file_access import git as git_module
from tuning.corpus import CorpusError, collect


def write(root: Path, *paths: str, text: str = "x = 1\n") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always")
    command = ["git", "-C", str(root), *identity, *arguments]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=git_module.environment()
    )
    return done.stdout


def python_files(root: Path) -> list[str]:
    return sorted(list_paths(root, lambda path: path.endswith(".py")).paths)


@pytest.fixture(params=["git", "no git"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    write(root, "a.py", "private/b.py", "src/c.py", "src/deep/d.py")
    if request.param == "git":
        git(root, "init", "-q")
    return root


IGNORE = "private/\r\n"


@pytest.mark.parametrize(
    "content",
    [IGNORE.encode(), codecs.BOM_UTF8 + IGNORE.encode(), IGNORE.encode("utf-16")],
    ids=["UTF-8", "BOM", "UTF-16"],
)
def test_attuneignore_holds_in_every_encoding(tree: Path, content: bytes) -> None:
    (tree / ".attuneignore").write_bytes(content)
    assert python_files(tree) == ["a.py", "src/c.py", "src/deep/d.py"]
    assert {file.path for file in collect(tree).files} == {"a.py", "src/c.py", "src/deep/d.py"}


@pytest.mark.parametrize("content", [codecs.BOM_UTF8 + IGNORE.encode(), IGNORE.encode("utf-16")])
def test_gitignore_holds_in_every_encoding_without_git(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, "a.py", "private/b.py")
    (tmp_path / ".gitignore").write_bytes(content)
    assert python_files(tmp_path) == ["a.py"]


def test_attuneignore_of_every_folder_holds(tree: Path) -> None:
    write(tree / "src", ".attuneignore", text="*.py\n!deep/d.py\n")
    assert python_files(tree) == ["a.py", "private/b.py", "src/deep/d.py"]
    write(tree / "src/deep", ".attuneignore", text="/d.py\n")
    assert python_files(tree) == ["a.py", "private/b.py"]


def test_attuneignore_above_the_opened_folder_holds(tmp_path: Path) -> None:
    write(tmp_path, "src/a.py", "src/private/b.py", "secret/c.py")
    write(tmp_path, ".attuneignore", text="/src/private/\n/secret/\n")
    git(tmp_path, "init", "-q")
    assert python_files(tmp_path / "src") == ["a.py"]
    assert python_files(tmp_path / "src/private") == []
    assert python_files(tmp_path / "secret") == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("/etc/hostname"),
        Path.mkdir,
        lambda path: path.write_bytes(b"priv\xe9/\n"),
        lambda path: path.write_bytes("private/\n".encode("utf-16-le")),
    ],
    ids=["pipe", "device", "link out", "folder", "latin-1", "UTF-16 without mark"],
)
def test_an_ignore_file_that_cannot_be_understood_excludes_its_folder(tree: Path, make) -> None:
    """It could exclude anything; and it is reported."""
    make(tree / "src" / ".attuneignore")
    assert python_files(tree) == ["a.py", "private/b.py"]
    (notice,) = list_files(tree, lambda path: True).notices
    assert notice.startswith("src/.attuneignore cannot be understood")
    make(tree / ".attuneignore")
    assert python_files(tree) == []
    with pytest.raises(CorpusError, match=r"\.attuneignore cannot be understood"):
        collect(tree)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "name", [".gitignore", ".git/info/exclude", ".git/config", ".git/index", ".git/HEAD"]
)
def test_a_pipe_that_git_would_wait_for_is_reported(tmp_path: Path, name: str) -> None:
    write(tmp_path, "a.py")
    git(tmp_path, "init", "-q")
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    listed = list_files(tmp_path, lambda path: True)
    assert listed.paths == ()
    assert name in listed.notices[0]


@pytest.mark.parametrize("root", ["", "b"])
def test_a_pipe_below_the_root_excludes_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    """git, which would wait for its writer, is not let into the folder, tracked files or not."""
    folder = f"{root}/odd [x] * name/c".removeprefix("/")
    top = root and f"{root}/"
    write(
        tmp_path, "a.py", f"{top}d.py", f"{folder}/tracked.py", f"{folder}/e/f.py", f"{top}c/g.py"
    )
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", f"{folder}/tracked.py")
    os.mkfifo(tmp_path / folder / ".gitignore")
    monkeypatch.setattr(file_listing, "QUICK_S", 1.0)
    listed = list_files(tmp_path / root, lambda path: True)
    assert [path for path in listed.paths if path != "a.py"] == ["c/g.py", "d.py"]
    (notice,) = listed.notices
    assert notice.startswith("odd [x] * name/c/.gitignore cannot be understood (it is no regular")


def test_nothing_is_read_if_git_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it would ignore is not known. (git waits for the writer of a pipe above the root.)"""
    write(tmp_path, "a.py", "b/c.py")
    git(tmp_path, "init", "-q")
    os.mkfifo(tmp_path / ".gitignore")
    monkeypatch.setattr(git_module.run_git, "__kwdefaults__", {"timeout_s": 1.0, "text": ""})
    monkeypatch.setattr(file_listing, "QUICK_S", 0.5)
    listed = list_files(tmp_path / "b", lambda path: True)
    assert listed.paths == ()
    assert "git did not answer" in listed.notices[0]


def test_variables_of_a_git_hook_do_not_lead_to_another_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git sets GIT_DIR for hooks, and Attune may be started by one."""
    other, root = tmp_path / "other", tmp_path / "root"
    write(other, "other.py")
    git(other, "init", "-q")
    git(other, "add", ".")
    write(root, "a.py", "local_secret.py")
    write(root, ".gitignore", text="local_*\n")
    git(root, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.excludesFile")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(tmp_path / "all"))
    write(tmp_path, "all", text="*\n")
    assert python_files(root) == ["a.py"]


def test_a_hook_in_a_linked_worktree_sees_that_worktree(tmp_path: Path) -> None:
    root, linked = tmp_path / "root", tmp_path / "linked"
    write(root, "a.py")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "one")
    git(root, "worktree", "add", "-q", str(linked))
    write(linked, "b.py", "local_secret.py")
    write(linked, ".gitignore", text="local_*\n")
    assert python_files(linked) == ["a.py", "b.py"]


def test_a_project_that_the_repository_around_it_ignores_is_read(tmp_path: Path) -> None:
    """Some people keep their home folder in git, with `*` in its .gitignore."""
    write(tmp_path, ".gitignore", text="*\n")
    git(tmp_path, "init", "-q")
    project = tmp_path / "project"
    write(project, "a.py", "out/b.py")
    write(project, ".gitignore", text="out/\n")
    assert python_files(project) == ["a.py"]


@pytest.mark.parametrize("kind", ["clone", "submodule"])
def test_repositories_inside_are_not_read_but_reported(tmp_path: Path, kind: str) -> None:
    root, library = tmp_path / "root", tmp_path / "library"
    write(library, "lib.py")
    git(library, "init", "-q")
    git(library, "add", ".")
    git(library, "commit", "-qm", "one")
    write(root, "a.py")
    git(root, "init", "-q")
    if kind == "submodule":
        git(root, "submodule", "--quiet", "add", str(library), "inner")
    else:
        shutil.copytree(library, root / "inner")
    assert python_files(root) == ["a.py"]
    (notice,) = list_files(root, lambda path: True).notices
    assert "not read (inner)" in notice
    write(root, ".attuneignore", text="inner/\n")  # who wants no notice says so
    assert list_files(root, lambda path: True).notices == ()
    assert python_files(root / "inner") == ["lib.py"]


def test_repositories_in_a_plain_folder_list_their_own_files(tmp_path: Path) -> None:
    write(tmp_path, "one/a.py", "one/secret.py", "two/b.py", "c.py")
    for name in ("one", "two"):
        git(tmp_path / name, "init", "-q")
    write(tmp_path, "one/.git/info/exclude", text="secret.py\n")
    assert python_files(tmp_path) == ["c.py", "one/a.py", "two/b.py"]
    write(tmp_path, ".attuneignore", text="two/\n")
    assert python_files(tmp_path) == ["c.py", "one/a.py"]


def test_installed_packages_and_caches_are_left_out(tree: Path) -> None:
    write(
        tree, "venv/lib/x.py", "web/node_modules/x/x.py", "env/lib/python3.11/site-packages/x.py",
        "own_env/pyvenv.cfg", "own_env/bin/activate_this.py",
        "target/CACHEDIR.TAG", "target/debug/x.py", "src/environment.py",
    )  # fmt: skip
    expected = ["a.py", "private/b.py", "src/c.py", "src/deep/d.py", "src/environment.py"]
    assert python_files(tree) == expected
    assert python_files(tree / "web/node_modules/x") == ["x.py"]  # opened, so wanted


def test_a_link_in_the_place_of_a_tracked_folder_is_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root, "package/a.py")
    git(root, "init", "-q")
    git(root, "add", ".")
    shutil.move(root / "package", tmp_path / "elsewhere")
    (root / "package").symlink_to(tmp_path / "elsewhere")
    assert not isinstance(read_source(root, "package/a.py"), str)


@pytest.mark.timeout(30)
def test_patterns_of_a_hostile_repository_do_not_stall(tmp_path: Path) -> None:
    write(tmp_path, f"{'a' * 200}.py", *(f"{'a' * 60}/{n}.py" for n in range(20)))
    write(tmp_path, ".attuneignore", text="*a" * 30 + "b\n" + "**/*a*a*a*a/" * 20 + "b\n")
    assert len(python_files(tmp_path)) == 21
