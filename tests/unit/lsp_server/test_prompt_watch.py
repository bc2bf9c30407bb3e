"""Changes on disk call back, also after their folder was deleted and created again."""

import os
import queue
import shutil
from pathlib import Path

import pytest

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
