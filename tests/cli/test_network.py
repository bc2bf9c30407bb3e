"""The commands where the network is denied: none tries to use it unless it is told to."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from prompts.file import DEFAULT_PROMPT, SUFFIX
from tests.lsp.test_process import EXIT, INITIALIZE, INITIALIZED, SHUTDOWN, frames, parsed

pytestmark = pytest.mark.slow

ARTIFACT = Path(__file__).parents[1] / "artifacts" / f"v3-kv{SUFFIX}"

DENIED = """
import runpy, sys
attempts, module, *arguments = sys.argv[1:]

def deny(event, values):
    is_socket = event in ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo",
                          "socket.gethostbyname", "socket.gethostbyaddr", "urllib.Request")
    if is_socket and not isinstance(values[-1], (str, bytes)):  # a path: a socket of this machine
        with open(attempts, "a") as log:
            log.write(f"{event}\\n")
        raise OSError("the network is denied")

sys.addaudithook(deny)
sys.argv[1:] = arguments
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / ".git").mkdir(parents=True)
    for n in range(6):
        lines = (f"def f_{n}_{m}(x_{m}):\n    return x_{m} + {n}\n\n" for m in range(4 + n))
        (root / f"file_{n}.py").write_text("\n".join(lines))
    return root


def run(
    tmp_path: Path, model: Path, *arguments: str, module: str = "attune", stream: bytes = b""
) -> "subprocess.CompletedProcess[bytes]":
    """Run a module without a network; fails if it tried to use one."""
    attempts = tmp_path / "attempts"
    command = [sys.executable, "-I", "-c", DENIED, str(attempts), module, *arguments]
    environment = {**os.environ, "ATTUNE_MODEL": str(model)}
    done = subprocess.run(command, capture_output=True, env=environment, input=stream, check=False)
    assert not attempts.exists(), attempts.read_text()
    assert b"the network is denied" not in done.stderr
    return done


def test_the_network_is_denied(tmp_path: Path) -> None:
    """What the other tests rely on."""
    url = "http://127.0.0.1:9/"
    command = [sys.executable, "-I", "-c", DENIED, str(tmp_path / "attempts"), "urllib.request"]
    code = f"import urllib.request; urllib.request.urlopen({url!r})"
    done = subprocess.run(
        [*command[:3], DENIED.replace("runpy.run_module", f"exec({code!r}); runpy.run_module"),
         *command[4:]],
        capture_output=True, check=False,
    )  # fmt: skip
    assert b"the network is denied" in done.stderr
    assert (tmp_path / "attempts").read_text()


def test_completing_tuning_and_status(repository: Path, tiny_model: Path, tmp_path: Path) -> None:
    tuned = run(tmp_path, tiny_model, "tune", str(repository), "--minutes", "0.05", "--json")
    assert tuned.returncode in (0, 1), (tuned.stdout, tuned.stderr)
    written = Path(json.loads(tuned.stdout)["written"])
    assert written.exists()
    shutil.move(written, repository / DEFAULT_PROMPT)
    cursor = f"{repository / 'file_1.py'}:2:5"
    for arguments, codes in (
        (("complete", cursor), (0, 1)),
        (("why", cursor), (0, 1)),
        (("status", str(repository)), (2,)),  # there is no commit to compare with
        (("doctor", str(repository)), (0, 1)),
        (("prompt", "inspect", str(ARTIFACT)), (0,)),
    ):
        done = run(tmp_path, tiny_model, *arguments)
        assert done.returncode in codes, (arguments, done.stderr)


def test_serving(repository: Path, tiny_model: Path, tmp_path: Path) -> None:
    """Also the index process, which is started here as the server starts it."""
    uri = (repository / "file_1.py").as_uri()
    item = {"uri": uri, "languageId": "python", "version": 1, "text": "import os\n\nx = os."}
    document = {"textDocument": {"uri": uri}}
    stream = frames(
        INITIALIZE,
        INITIALIZED,
        {"method": "textDocument/didOpen", "params": {"textDocument": item}},
        {
            "id": 5,
            "method": "textDocument/inlineCompletion",
            "params": {
                **document,
                "position": {"line": 2, "character": 7},
                "context": {"triggerKind": 1},
            },
        },
        SHUTDOWN,
        EXIT,
    )
    done = run(tmp_path, tiny_model, "serve", stream=stream)
    assert done.returncode == 0
    assert {message.get("id") for message in parsed(done.stdout)} >= {0, 5, 1}
    index = run(tmp_path, tiny_model, str(repository), module="code_context.index_process")
    assert index.returncode == 0
