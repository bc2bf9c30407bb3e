"""A change wakes; reading does not."""

import os
import queue
import shutil
from pathlib import Path

import pytest

from lsp_server.prompt_watch import PromptWatch


@pytest.fixture
def woken():
    return queue.SimpleQueue()


@pytest.fixture
def watch(tmp_path, woken):
    folder = tmp_path / "root" / ".attune"
    folder.parent.mkdir()
    watch = PromptWatch({folder}, lambda: woken.put(state(folder)))
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


def until(woken, expected) -> None:
    """Some wake-up saw this state."""
    while woken.get(timeout=60) != expected:
        pass


def test_written_replaced_and_removed(watch, woken):
    """The folder may come later, go and come back."""
    for _ in range(2):
        watch.mkdir()
        (watch / "a").write_text("1")
        until(woken, {"a": "1"})
        (watch / "b").write_text("2")
        (watch / "b").rename(watch / "a")
        until(woken, {"a": "2"})
        shutil.rmtree(watch)
        until(woken, {})
