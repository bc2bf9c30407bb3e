"""The command in environments that lack what most have: a home folder, a UTF-8 locale."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

RUN = "import sys; from attune.__main__ import main; sys.argv[0] = 'attune'; main()"
NO_USER = f"import pwd\ndef unknown(uid): raise KeyError(uid)\npwd.getpwuid = unknown\n{RUN}"


# what an empty suggestion ends with, which `why` explains too; an internal error ends with 70
GOOD = {"complete": (0,), "why": (0, 1)}
COMMANDS = (pytest.param("complete", marks=pytest.mark.shipped_weights), "why")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / ".git").mkdir(parents=True)
    (root / "b.py").write_text("def na\xefve_caf\xe9():\n    return '\xe9'\n", encoding="utf-8")
    (root / "a.py").write_text(
        "from b import na\xefve_caf\xe9\n\nname = '\xe9'\nprint(", encoding="utf-8"
    )
    return root


def run(code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("HOME", "ATTUNE_HOME") and not name.startswith(("XDG_", "LC_", "LANG"))
    }
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(
        command, capture_output=True, env=environment | variables, cwd="/", check=False
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_user_without_a_home_folder(root: Path, command: str) -> None:
    done = run(NO_USER, command, f"{root}/a.py:4:7")
    assert done.returncode in GOOD[command], done.stderr
    assert done.stdout
    assert b"cannot be kept on disk" in done.stderr
    assert b"no-home-folder-is-known" in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_the_c_locale(root: Path, tmp_path: Path, command: str) -> None:
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    cursor = f"{root}/a.py:4:7"
    done = run(RUN, command, cursor, HOME=str(tmp_path), **locale)
    assert done.returncode in GOOD[command], done.stderr
    assert done.stdout
    assert done.stdout == run(RUN, command, cursor, HOME=str(tmp_path)).stdout
    (root / "a.py").rename(root / "caf\xe9.py")
    done = run(RUN, command, f"{root}/caf\xe9.py:4:7", HOME=str(tmp_path), **locale)
    assert done.returncode in GOOD[command], done.stderr
    assert done.stdout
