"""The index process is started again when it ends; the processes here are real."""

import queue
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lsp_server import index_supervisor
from lsp_server.index_supervisor import MAX_FAILURES, IndexSupervisor

READY = {"ready": True, "files": 1}


class Listener:
    def __init__(self) -> None:
        self.messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self.failures: queue.Queue[str] = queue.Queue()


@pytest.fixture
def listener() -> Listener:
    return Listener()


Start = Callable[[str], IndexSupervisor]


@pytest.fixture
def start(tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a supervisor whose process runs a script of the shell."""
    monkeypatch.setattr(index_supervisor, "FIRST_DELAY_S", 0.0)
    started = []

    def start(script: str) -> IndexSupervisor:
        process = tmp_path / "index-process"
        process.write_text(f"#!/bin/sh\n{script}\n")
        process.chmod(0o755)
        monkeypatch.setattr(index_supervisor.sys, "executable", str(process))
        supervisor = IndexSupervisor(tmp_path, listener.messages.put, listener.failures.put)
        supervisor.start()
        started.append(supervisor)
        return supervisor

    yield start
    for supervisor in started:
        supervisor.stop()
        supervisor._thread.join(60)
        assert not supervisor._thread.is_alive()


def test_a_process_that_is_killed_is_started_again(start: Start, listener: Listener) -> None:
    supervisor = start('echo \'{"ready": true, "files": 1}\'\nexec cat')
    for _ in range(2):
        assert listener.messages.get(timeout=60) == READY
        assert supervisor._process is not None
        supervisor._process.send_signal(signal.SIGKILL)
    assert listener.messages.get(timeout=60) == READY
    assert listener.failures.empty()


def test_after_some_failures_it_is_not_started_again(
    start: Start, listener: Listener, tmp_path: Path
) -> None:
    start(f"echo start >> {tmp_path / 'starts'}\nexit 7")
    assert listener.failures.get(timeout=60) == "exit status 7"
    assert (tmp_path / "starts").read_text() == "start\n" * MAX_FAILURES


def test_failures_long_ago_do_not_count(
    start: Start, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_supervisor, "HEALTHY_S", -1.0)
    start("echo '{}'\nexit 7")
    for _ in range(3 * MAX_FAILURES):
        listener.messages.get(timeout=60)
    assert listener.failures.empty()


def test_a_failure_that_lasts_is_reported_at_once(
    start: Start, listener: Listener, tmp_path: Path
) -> None:
    start(f'echo start >> {tmp_path / "starts"}\necho \'{{"failure": "no disk"}}\'\nexit 1')
    assert listener.failures.get(timeout=60) == "no disk"
    assert (tmp_path / "starts").read_text() == "start\n"


def test_a_program_that_cannot_be_started_is_a_failure(
    tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_supervisor, "FIRST_DELAY_S", 0.0)
    monkeypatch.setattr(index_supervisor.sys, "executable", str(tmp_path / "none"))
    IndexSupervisor(tmp_path, listener.messages.put, listener.failures.put).start()
    assert listener.failures.get(timeout=60) == "No such file or directory"


def test_the_log_names_the_error_and_shows_no_code(
    start: Start, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    trace = [
        "Traceback (most recent call last):",
        "  secret = open(password)",
        "UnicodeEncodeError: secret_name",
    ]
    start("\n".join(f"echo '{line}' >&2" for line in trace) + "\nexit 1")
    assert listener.failures.get(timeout=60) == "UnicodeEncodeError"
    assert "UnicodeEncodeError" in caplog.text
    assert "secret" not in caplog.text


def test_much_output_to_stderr_blocks_nothing(start: Start, listener: Listener) -> None:
    noise = "head -c 1000000 /dev/zero | tr '\\0' x >&2"
    start(f'{noise}\necho\necho \'{{"ready": true, "files": 1}}\'\nexec cat')
    assert listener.messages.get(timeout=60) == READY


def test_a_process_that_says_nothing_is_replaced(
    start: Start, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs without ending: it is killed, which counts as a failure."""
    monkeypatch.setattr(index_supervisor, "SILENCE_S", 0.3)
    start('echo \'{"ready": true, "files": 1}\'\nexec cat')
    for _ in range(MAX_FAILURES):
        assert listener.messages.get(timeout=60) == READY
    assert listener.failures.get(timeout=60) == "no sign of life for 0.3 seconds"


def test_a_sign_of_life_is_enough(start: Start, listener: Listener) -> None:
    supervisor = start("read line\necho '{\"alive\": true}'\necho '{\"ready\": true}'\nexec cat")
    while supervisor._process is None:
        pass
    supervisor._clock = lambda: 3600.0
    assert supervisor._process.stdin is not None
    supervisor._process.stdin.write(b"\n")
    supervisor._process.stdin.flush()
    assert listener.messages.get(timeout=60) == {"ready": True}
    assert supervisor._heard_at == 3600.0
    assert listener.failures.empty()


def test_a_process_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_supervisor, "EXIT_TIMEOUT_S", 0.1)
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"], stdin=subprocess.PIPE)
    index_supervisor._stop(process)
    assert process.returncode == -signal.SIGKILL


def test_a_stopped_supervisor_starts_nothing(start: Start, listener: Listener) -> None:
    supervisor = start('echo \'{"ready": true, "files": 1}\'\nexec cat')
    assert listener.messages.get(timeout=60) == READY
    supervisor.stop()
    supervisor._thread.join(60)
    assert listener.messages.empty()
    assert listener.failures.empty()
