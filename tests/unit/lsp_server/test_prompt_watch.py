"""Changes on disk call back, also after their folder was deleted and created again."""

import os
import queue
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lsp_server import prompt_watch
from lsp_server.prompt_watch import PromptWatch


@pytest.fixture
def states():
    return queue.SimpleQueue()


@pytest.fixture
def watch(tmp_path, states):
    folder = tmp_path / "root" / ".attune"
    folder.parent.mkdir()
    watch = PromptWatch(lambda: {folder}, lambda: states.put(state(folder)))
    watch.start()
    yield folder
    watch.stop()
    watch._thread.join(60)
    assert watch._observer is not None
    watch._observer.join(60)
    assert not watch._thread.is_alive()
    assert not watch._observer.is_alive()


def state(folder: Path) -> dict[str, str]:
    try:
        return {name: (folder / name).read_text() for name in os.listdir(folder)}
    except FileNotFoundError:
        return {}


def until(states, expected) -> None:
    """Wait until a call saw this state."""
    while states.get(timeout=60) != expected:
        pass


def test_files_are_written_replaced_and_removed(watch, states):
    """Twice: the folder does not exist at first, and is deleted and created again."""
    for _ in range(2):
        watch.mkdir()
        (watch / "a").write_text("1")
        until(states, {"a": "1"})
        (watch / "b").write_text("2")
        (watch / "b").rename(watch / "a")
        until(states, {"a": "2"})
        shutil.rmtree(watch)
        until(states, {})


ENDS_MEANWHILE = """
import sys, threading
from pathlib import Path
from lsp_server.prompt_watch import PromptWatch

began, told = threading.Event(), threading.Event()

def changed():
    if not told.is_set():
        began.set()
        assert told.wait(60)
        print("done", flush=True)

watch = PromptWatch(lambda: {Path(sys.argv[1])}, changed)
watch.start()
watch._wake.set()
assert began.wait(60)
stop = watch.stop
watch.stop = lambda: (stop(), told.set())  # the exit has begun
"""


def test_the_exit_of_the_process_waits_for_a_call_that_runs(tmp_path):
    """It may load a model; a thread that is ended within torch aborts the process."""
    command = [sys.executable, "-c", ENDS_MEANWHILE, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


class NoInstances:
    """An observer as where the system has no inotify instance left."""

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def schedule(self, *arguments: object, **options: object) -> None:
        raise OSError(24, "inotify instance limit reached")


class NoThreads(NoInstances):
    """An observer as where the system has no thread left."""

    def start(self) -> None:
        raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("observer", [NoInstances, NoThreads])
def test_where_nothing_can_be_watched_changes_are_searched_for(
    tmp_path, states, monkeypatch, caplog, observer
):
    """The server did not start: "The engine did not start (OSError)"."""
    monkeypatch.setattr(prompt_watch, "Observer", observer)
    monkeypatch.setattr(prompt_watch, "POLL_PERIOD", 0.01)
    watch = PromptWatch(lambda: {tmp_path}, lambda: states.put(state(tmp_path)))
    watch.start()
    (tmp_path / "a").write_text("1")
    until(states, {"a": "1"})
    watch.stop()
    watch._thread.join(60)
    assert len(caplog.records) == 1


def test_a_call_that_fails_is_not_the_last_one(tmp_path, states):
    def changed() -> None:
        states.put(state(tmp_path))
        raise ValueError

    watch = PromptWatch(lambda: {tmp_path}, changed)
    watch.start()
    (tmp_path / "a").write_text("1")
    until(states, {"a": "1"})
    (tmp_path / "b").write_text("2")
    until(states, {"a": "1", "b": "2"})
    watch.stop()
    watch._thread.join(60)
