"""`attune model …` as people run it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from code_model.model_choice import DEFAULT
from prompts.user import user_folder
from tests.unit.code_model.fake_hub import COMMIT, REPOSITORY, FakeHub, files_of

pytestmark = pytest.mark.slow

ATTUNE = [sys.executable, "-I", "-m", "attune"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository to work in."""
    (tmp_path / "root" / ".git").mkdir(parents=True)
    return tmp_path / "root"


def attune(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ATTUNE, *arguments], capture_output=True, text=True, cwd=cwd, check=False,
        env={**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def result(*arguments: str, cwd: Path, code: int = 0) -> Any:
    done = attune(*arguments, "--json", cwd=cwd)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


@pytest.mark.usefixtures("shipped_by_name")
def test_a_model_from_adding_to_removing(root: Path, tiny_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "tiny"))
    added = result("model", "add", str(folder), cwd=root)
    assert (added["name"], added["path"]) == ("tiny", str(folder))
    assert "tiny completes in" in attune("model", "use", "tiny", "--repository", cwd=root).stderr
    listed = result("model", "list", cwd=root)
    assert listed["serving"] == {"name": "tiny", "named_by": "repository"}
    assert [row["name"] for row in listed["models"] if row["serving"]] == ["tiny"]
    assert (root / ".attune" / "attune.toml").read_text() == '[model]\nname = "tiny"\n'

    report = result("model", "check", cwd=root)
    assert report["facts"]["attention"] == "full"
    assert report["here"]["serves"] == ["embedding", "kv", "kv-nope"]
    assert report["here"]["speed"]["prefill"] > 0
    assert report["here"]["device"] == "cpu"
    assert report["refusals"] == []

    (root / "a.py").write_text("import os\n\nos.")
    assert "tiny" in attune("doctor", cwd=root).stdout
    other = attune("complete", "a.py:3:4", "--model", "other", cwd=root)
    assert (other.returncode, other.stdout) == (2, "")
    assert "There is no model 'other'; choose one of shipped, tiny" in other.stderr

    (folder / "model.safetensors").write_bytes(b"\x07" * 100)
    report = result("model", "check", "tiny", cwd=root, code=1)
    assert "is not the file that was added" in report["refusals"][0]
    completed = attune("complete", "a.py:3:4", cwd=root)
    assert completed.returncode == 2
    assert "has changed since the model was added" in completed.stderr

    removed = result("model", "remove", "tiny", cwd=root)
    assert removed == {"name": "tiny", "deleted": None}
    assert folder.is_dir()
    shown = attune("model", "list", cwd=root)
    assert "which you have not added" in shown.stderr
    assert "Here shipped serves" in shown.stdout


def test_wrong_input_is_refused_with_a_code(root: Path, tmp_path: Path) -> None:
    def code(*arguments: str) -> str:
        return str(result(*arguments, cwd=root, code=2)["error"]["code"])

    assert code("model", "add", str(tmp_path / "none")) == "model_unusable"
    assert code("model", "use", "none") == "model_unknown"
    assert code("model", "add", str(root), "--name", "../a") == "model_name_invalid"
    assert code("model", "add", str(root), "--engine", "vllm") == "usage"
    assert code("model", "use") == "usage"
    (user_folder() / "models.toml").write_text("[model")
    assert code("model", "list") == "configuration_invalid"


def test_a_killed_download_goes_on_where_it_was(root: Path) -> None:
    """The process is killed within the weights; the next one asks for the rest only."""
    hub = FakeHub(files_of(DEFAULT))
    hub.stall.clear()
    arguments = ["model", "add", f"hf://{REPOSITORY}@main", "--name", "loaded", "--json"]
    with hub.served() as endpoint:
        command = [*ATTUNE, *arguments, "--hub", endpoint]
        killed = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=root
        )
        assert hub.most_sent.wait(120)
        killed.kill()
        killed.communicate()
        assert not (user_folder() / "models.toml").exists()
        hub.stall.set()
        hub.requests.clear()
        added = result(*arguments[:-1], "--hub", endpoint, cwd=root)
    assert added["revision"] == COMMIT
    continued = [wanted for path, wanted, _ in hub.requests if path.endswith(".safetensors")]
    assert continued[0] is not None
    assert int(continued[0].removeprefix("bytes=").partition("-")[0]) >= 10 << 20
    folder = Path(added["path"])
    assert (folder / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    assert not [file for file in folder.parent.iterdir() if file.name.endswith(".partial")]
    assert result("model", "remove", "loaded", cwd=root)["deleted"] == str(folder)
    assert not folder.exists()
