"""Counts on this machine, and what they say about the prompt."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server import statistics
from lsp_server.ab_test import PERIOD_S, AbTest
from lsp_server.outcomes import Kept, Settled, Source
from lsp_server.statistics import ENOUGH, Statistics, compare

SECRET = "password = 'hunter2'"


def settled(number: int, how="accepted", *, taken=10, compared=False, prompt="team@12") -> Settled:
    source = Source(".py", number, prompt, compared)
    return Settled(str(number), how, "file:///secret/name.py", 0, SECRET, 20, taken, source)


@pytest.fixture
def counts(tmp_path):
    opened = Statistics(tmp_path / "folder" / "statistics.sqlite3", clock=lambda: 1.0)
    yield opened
    opened.close()


def test_summary(counts):
    counts.settled(settled(1))
    counts.settled(settled(2, "rejected", taken=0))
    counts.settled(settled(3, "partially accepted", taken=4))
    counts.settled(settled(4, "dropped", taken=0))
    counts.settled(settled(5, compared=True))
    counts.settled(settled(6, prompt="other@34"))
    counts.kept(Kept("1", 15, 9))
    counts.kept(Kept("3", 15, 3))
    counts.kept(Kept("1", 120, 6))
    arm = counts.summary("team@12").with_prompt
    assert (arm.suggestions, arm.accepted, arm.partially_accepted, arm.rejected) == (3, 1, 1, 1)
    assert arm.characters_taken == 14
    assert arm.kept_after_15_s == 4  # (9 + 0 + 3) / 3
    assert arm.kept_after_120_s == 3  # the third was not looked at yet
    assert arm.kept_after_600_s == 0
    without = counts.summary("team@12").without_prompt
    assert (without.suggestions, without.kept_after_15_s) == (1, None)
    assert counts.summary("team@12").comparison.verdict == "unknown"


def test_they_are_there_after_a_restart_and_hold_no_code(counts, tmp_path):
    counts.settled(settled(1))
    counts.close()
    again = Statistics(tmp_path / "folder" / "statistics.sqlite3")
    assert again.summary("team@12").with_prompt.suggestions == 1
    again.close()
    for file in (tmp_path / "folder").iterdir():
        assert b"hunter2" not in file.read_bytes()
        assert b"secret" not in file.read_bytes()


def test_off(tmp_path):
    off = Statistics(None)
    off.settled(settled(1))
    off.kept(Kept("1", 15, 9))
    assert off.summary("team@12").file is None
    assert off.summary("team@12").with_prompt.suggestions == 0
    off.close()


def test_damaged_file_is_set_aside(tmp_path):
    file = tmp_path / "statistics.sqlite3"
    file.write_bytes(b"no database" * 100)
    counts = Statistics(file)
    counts.settled(settled(1))
    assert counts.summary("team@12").with_prompt.suggestions == 1
    counts.close()
    assert (tmp_path / "statistics.sqlite3.damaged").read_bytes().startswith(b"no database")


def test_place_that_cannot_be_written_disturbs_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    counts = Statistics(tmp_path / "file" / "statistics.sqlite3")
    counts.settled(settled(1))
    assert counts.summary(None).with_prompt.suggestions == 0


def test_only_the_newest_rows_stay(counts, monkeypatch, tmp_path):
    monkeypatch.setattr(statistics, "MAX_ROWS", 3)
    for number in range(10):
        counts.settled(settled(number))
    counts.close()
    rows = sqlite3.connect(tmp_path / "folder" / "statistics.sqlite3")
    assert [row[0] for row in rows.execute("SELECT id FROM suggestions")] == ["7", "8", "9"]
    rows.close()


@pytest.mark.parametrize(
    ("with_prompt", "without", "verdict"),
    [
        ([10.0, 12.0], [1.0, 3.0], "worth it"),
        ([1.0, 3.0], [1.0, 3.0], "worth nothing"),
        ([1.0, 3.0], [10.0, 12.0], "worth nothing"),
        ([0.0, 100.0], [0.0, 99.0], "unknown"),
    ],
)
def test_verdict(with_prompt, without, verdict):
    found = compare(with_prompt * ENOUGH, without * ENOUGH)
    assert found.verdict == verdict
    assert found.low <= found.difference <= found.high


def test_few_suggestions_tell_nothing():
    assert compare([5.0] * ENOUGH, [1.0] * (ENOUGH - 1) + [None]).verdict == "unknown"


@given(share=st.floats(0, 0.5), uri=st.text(), seed=st.binary(max_size=16))
def test_a_document_stays_on_one_side_for_a_period(share, uri, seed):
    now = 0.0
    comparer = AbTest(share, seed, lambda: now)
    first = comparer.is_without_prompt(uri)
    now = PERIOD_S - 1
    assert comparer.is_without_prompt(uri) == first


def test_the_share_is_kept():
    now = 0.0
    comparer = AbTest(0.25, b"seed", lambda: now)
    drawn = 0
    for period in range(4000):
        now = period * PERIOD_S
        drawn += comparer.is_without_prompt("file:///a.py")
    assert abs(drawn - 1000) < 120  # more than four standard deviations
    never = AbTest(0, b"", lambda: now)
    assert not any(never.is_without_prompt(str(number)) for number in range(100))
