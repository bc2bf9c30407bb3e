"""When changed files are indexed. The clock is the test's."""

import os
from pathlib import Path

import pytest

from code_context import index_follower
from code_context.index import RepositoryIndex
from code_context.index_follower import (
    LISTING_PERIOD,
    MAX_DELAY,
    MAX_FILES,
    POLL_PERIOD,
    QUIET,
    IndexFollower,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Repository:
    """A follower of a folder, with a clock that stands still between steps."""

    def __init__(self, root: Path, *, is_polling: bool = False) -> None:
        self.root = root
        self.clock = Clock()
        self.index = RepositoryIndex()
        self.write("a.py", "first")
        self.follower = IndexFollower(root, self.index, is_polling=is_polling, clock=self.clock)
        self.follower.list_files()

    def write(self, path: str, name: str) -> None:
        file = self.root / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"def {name}():\n    pass\n")
        self.stamp = getattr(self, "stamp", 10**18) + 10**9  # file systems have coarse clocks
        os.utime(file, ns=(self.stamp, self.stamp))

    def has(self, name: str) -> bool:
        self.index.drop_stale_cache()
        return bool(self.index.definitions(name))

    def advance(self, seconds: float) -> None:
        """Let time pass, as the process does: update when something is due."""
        end = self.clock.now + seconds
        while (due := self.clock.now + self.follower.wait()) <= end:
            self.clock.now = due
            self.follower.update()
        self.clock.now = end


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_changed_new_and_deleted_files_are_followed(repository: Repository) -> None:
    repository.write("a.py", "second")
    repository.write("b.py", "third")
    repository.follower.changed("a.py")
    repository.follower.changed("b.py")
    repository.advance(QUIET / 2)
    assert repository.has("first")
    repository.advance(QUIET)
    assert not repository.has("first")
    assert repository.has("second")
    assert repository.has("third")
    (repository.root / "a.py").unlink()
    repository.follower.changed("a.py")
    repository.advance(QUIET)
    assert not repository.has("second")


@pytest.mark.parametrize("noise", ["ignored.py", "a.py"])
def test_a_file_that_is_always_written_does_not_delay_another(
    repository: Repository, noise: str
) -> None:
    (repository.root / ".gitignore").write_text("ignored.py\n")
    repository.write("b.py", "second")
    for step in range(40):
        repository.write(noise, "first")
        repository.follower.changed(noise)
        if step == 0:
            repository.follower.changed("b.py")
        repository.advance(QUIET / 2)
        if step * QUIET / 2 > MAX_DELAY:
            assert repository.has("second")


def test_an_ignored_file_costs_one_listing(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings = []
    real = index_follower.refresh

    def counted(*arguments: object) -> object:
        listings.append(arguments)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(index_follower, "refresh", counted)
    (repository.root / ".gitignore").write_text("ignored.py\n")
    repository.write("ignored.py", "hidden")
    for _ in range(100):
        repository.follower.changed("ignored.py")
        repository.advance(QUIET / 2)
    assert len(listings) == 1
    (repository.root / ".gitignore").write_text("")
    repository.follower.changed(None)
    repository.advance(QUIET)
    assert repository.has("hidden")


def test_changes_without_events_are_found(repository: Repository) -> None:
    repository.write("b.py", "second")
    repository.advance(LISTING_PERIOD)
    assert repository.has("second")
    assert not repository.follower.is_polling, "which files are listed may change without an event"


def test_where_events_do_not_arrive_it_polls(repository: Repository) -> None:
    repository.write("a.py", "second")
    repository.advance(LISTING_PERIOD + MAX_DELAY)
    assert repository.has("second")
    assert repository.follower.is_polling
    repository.write("a.py", "third")
    repository.advance(POLL_PERIOD)
    assert repository.has("third")


def test_an_event_that_arrives_late_is_no_missed_one(repository: Repository) -> None:
    repository.write("a.py", "second")
    repository.advance(LISTING_PERIOD)
    repository.follower.changed("a.py")
    repository.advance(2 * QUIET)
    assert not repository.follower.is_polling


def test_after_very_many_changes_lost_events_are_found_soon(repository: Repository) -> None:
    """A checkout of 9,000 files left 7,166 as they were: the system dropped events."""
    for n in range(2 * MAX_FILES):
        repository.write(f"m{n}.py", f"one_{n}")
        repository.follower.changed(f"m{n}.py")
    repository.advance(MAX_DELAY)
    assert repository.has("one_3")
    repository.write("m3.py", "two_3")  # without an event
    repository.advance(5)
    assert repository.has("two_3")
    assert not repository.follower.is_polling


def test_pauses_grow_with_the_time_of_a_listing(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings = []
    real = index_follower.refresh

    def slow(index, root, progress):  # type: ignore[no-untyped-def]
        listings.append(repository.clock.now)
        repository.clock.now += 4
        return real(index, root, progress)

    monkeypatch.setattr(index_follower, "refresh", slow)
    for _ in range(200):
        repository.follower.changed(None)
        repository.advance(1)
    assert len(listings) < 12, "a sixth of the time at most"
