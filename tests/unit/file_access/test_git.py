"""git runs no program that a repository names, and reads the repository that it is given."""

import subprocess
from pathlib import Path

import pytest

from code_context.source_files import list_files
from file_access.git import diff, environment, git, user_path_setting
from tuning.history import changed_since, commit_of, commits_since, newest_lines

OTHERS = ("b.py", "c.py", "d.py")


def run(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    command = ["git", "-C", str(root), *identity, *arguments]
    subprocess.run(command, check=True, capture_output=True, env=environment())


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A repository whose configuration names programs wherever git can run one."""
    root = tmp_path / "hostile"
    root.mkdir()
    run(root, "init", "-q")
    for name in OTHERS:
        (root / name).write_text("x = 0\n")
    for n in range(3):
        (root / "a.py").write_text(f"x = {n}\n")
        run(root, "add", ".")
        run(root, "commit", "-qm", f"{n}")
    (root / "a.py").write_text("y = 1\n")
    program = root / "program.sh"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\ncat\n")
    program.chmod(0o755)
    for key in (
        "core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "diff.external",
        "diff.d.command", "diff.d.textconv", "filter.f.clean", "filter.f.smudge",
        "filter.f.process", "filter.F.x.clean", "gpg.program", "gpg.ssh.program", "alias.ls-files",
        "alias.diff", "alias.log", "credential.helper", "uploadpack.packObjectsHook",
    ):  # fmt: skip
        run(root, "config", key, str(program))
    for key in ("filter.f.required", "log.showSignature", "pager.log", "pager.diff"):
        run(root, "config", key, "true")
    run(root, "config", "core.hooksPath", str(root))
    for hook in ("post-index-change", "post-checkout", "pre-commit"):
        (root / hook).write_bytes(program.read_bytes())
        (root / hook).chmod(0o755)
    (root / ".git/info/attributes").write_text("*.py diff=d filter=f\n")
    (root / ".gitattributes").write_text("*.py diff=d filter=F.x\n")
    return root


def test_no_program_of_a_repository_runs(hostile: Path, tmp_path: Path) -> None:
    commit = commit_of(hostile)
    assert commit is not None
    assert "a.py" in list_files(hostile, lambda path: True).paths
    assert newest_lines(hostile, {"a.py", *OTHERS}) == {"a.py": {0}}
    assert changed_since(hostile, commit) == {"a.py": {0}}
    assert commits_since(hostile, commit) == 0
    assert not (tmp_path / "ran").exists()


def test_the_fixture_would_run_programs(hostile: Path, tmp_path: Path) -> None:
    """Without the options of `diff` the program runs, so the test above can fail."""
    subprocess.run(["git", "-C", str(hostile), "diff"], capture_output=True, check=False)
    assert (tmp_path / "ran").exists()


def test_variables_that_choose_a_repository_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, "init", "-q")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX",
                 "GIT_CONFIG_PARAMETERS", "GIT_TRACE", "GIT_EXTERNAL_DIFF"):  # fmt: skip
        monkeypatch.setenv(name, str(tmp_path / "x"))
    assert git(tmp_path, "rev-parse", "--show-toplevel") == f"{tmp_path.resolve()}\n"
    assert not (tmp_path / "x").exists()


def test_the_users_own_configuration_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    key.write_text("k")
    (tmp_path / "config").write_text(f"[user]\n\tsigningKey = {key}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    assert user_path_setting("user.signingKey") == key
    assert user_path_setting("user.other") is None


def test_a_command_that_fails_has_no_output(tmp_path: Path) -> None:
    assert git(tmp_path, "rev-parse", "HEAD") is None
    assert diff(tmp_path, "HEAD") is None
