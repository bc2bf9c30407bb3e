"""Statistics on this machine, and the assignment of the A/B test."""

import sqlite3
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsp_server import statistics
from lsp_server.ab_test import PERIOD_S, AbTest, period
from lsp_server.outcomes import RETENTION_S, Outcome, Retention, Source
from lsp_server.sequential_test import MIN_CLUSTERS
from lsp_server.statistics import Statistics

PROMPT = "team@12"


def outcome(
    number: int, kind="accepted", *, accepted=10, without_prompt=False, prompt=PROMPT
) -> Outcome:
    source = Source(".py", number, prompt, without_prompt)
    return Outcome(str(number), kind, 20, accepted, source)


class Clock:
    """Seconds since 1970, as the test sets them."""

    def __init__(self) -> None:
        self.now = 1.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "folder" / "statistics.sqlite3"


@pytest.fixture
def counts(file, clock):
    opened = Statistics(file, clock)
    yield opened
    opened.close()


def test_summary(counts):
    counts.record(outcome(1))
    counts.record(outcome(2, "rejected", accepted=0))
    counts.record(outcome(3, "partially accepted", accepted=4))
    counts.record(outcome(4, "ignored", accepted=0))
    counts.record(outcome(5, without_prompt=True))
    counts.record(outcome(6, prompt="other@34"))
    counts.record_retention(Retention("1", 15, 9))
    counts.record_retention(Retention("3", 15, 3))
    counts.record_retention(Retention("1", 120, 6))
    summary = counts.summary(PROMPT).result()
    arm = summary.with_prompt
    assert (arm.suggestions, arm.accepted, arm.partially_accepted, arm.rejected) == (3, 1, 1, 1)
    assert arm.characters_accepted == 14
    assert arm.retained_after_15_s == 4  # (9 + 0 + 3) / 3
    assert arm.retained_after_120_s == 3  # the third is not measured yet
    assert arm.retained_after_600_s == 0
    without = summary.without_prompt
    assert (without.suggestions, without.retained_after_15_s) == (1, None)
    assert summary.ab_test.verdict == "unknown"


def test_a_place_where_nothing_is_shown_counts_as_nothing_saved(counts, file, clock):
    """Else a prompt that is silent where it is unsure would seem to save more than it does."""
    counts.record(outcome(1))
    counts.record_retention(Retention("1", 120, 10))
    assert counts.summary(PROMPT).result().with_prompt.retained_after_120_s == 10
    counts.record(outcome(2, "not shown", accepted=0))
    again = Statistics(file, clock)
    for read in (counts, again):
        arm = read.summary(PROMPT).result().with_prompt
        assert (arm.places, arm.suggestions) == (2, 1)
        assert arm.retained_after_120_s == 5
    again.close()


def test_a_clock_that_is_set_back_and_forward_loses_nothing(counts, clock):
    """The sums that are kept and those of the file agree, and the arms are those of the time."""
    test = AbTest(0.5, b"seed", clock)
    arms = []
    for number, now in enumerate([2e9, 5.0, 4e9, 2e9, 2e9 + PERIOD_S, 5.0]):
        clock.now = now
        arms.append([test.is_without_prompt(f"file:///{n}.py") for n in range(40)])
        counts.record(outcome(number))
        counts.record_retention(Retention(str(number), 120, number))
        counts.ab_test(PROMPT).result()  # from now on the sums are kept
    assert (arms[0], arms[1]) == (arms[3], arms[5])
    kept = counts.ab_test(PROMPT).result()
    summary = counts.summary(PROMPT).result()
    assert summary.ab_test == kept
    arm = summary.with_prompt
    assert (arm.suggestions, arm.retained_after_120_s) == (6, 2.5)


def test_counts_outlive_the_server(counts, file):
    counts.record(outcome(1))
    counts.close()
    again = Statistics(file)
    assert again.summary(PROMPT).result().with_prompt.suggestions == 1
    again.close()


def test_rows_of_another_server_are_in_the_summary(counts, file):
    counts.record(outcome(1))
    assert counts.summary(PROMPT).result().with_prompt.suggestions == 1
    other = Statistics(file)
    other.record(outcome(2))
    other.close()
    assert counts.summary(PROMPT).result().with_prompt.suggestions == 2


def test_off(tmp_path):
    off = Statistics(None)
    off.record(outcome(1))
    off.record_retention(Retention("1", 15, 9))
    summary = off.summary(PROMPT).result()
    assert summary.file is None
    assert summary.with_prompt.suggestions == 0
    off.close()
    assert list(tmp_path.iterdir()) == []


def test_damaged_file_is_renamed(tmp_path):
    file = tmp_path / "statistics.sqlite3"
    file.write_bytes(b"no database" * 100)
    counts = Statistics(file)
    counts.record(outcome(1))
    assert counts.summary(PROMPT).result().with_prompt.suggestions == 1
    counts.close()
    assert (tmp_path / "statistics.sqlite3.damaged").read_bytes().startswith(b"no database")


def test_file_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    counts = Statistics(tmp_path / "file" / "statistics.sqlite3")
    counts.record(outcome(1))
    summary = counts.summary(None).result()
    assert (summary.file, summary.with_prompt.suggestions) == (None, 0)
    counts.close()


def test_only_the_newest_rows_stay(counts, monkeypatch, file):
    monkeypatch.setattr(statistics, "MAX_ROWS", 3)
    for number in range(10):
        counts.record(outcome(number))
    counts.close()
    rows = sqlite3.connect(file)
    assert [row[0] for row in rows.execute("SELECT id FROM suggestions")] == ["7", "8", "9"]
    rows.close()


def test_acceptance_reads_no_other_rows_and_never_on_the_calling_thread(file, clock, monkeypatch):
    """However many suggestions there are, each costs one INSERT and each measurement one UPDATE."""
    statements: list[tuple[str, int]] = []
    connect = sqlite3.connect

    def traced(*arguments, **options):
        connection = connect(*arguments, **options)
        connection.set_trace_callback(
            lambda statement: statements.append((statement.split()[0], threading.get_ident()))
        )
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    counts = Statistics(file, clock)
    for number in range(50):
        counts.record(outcome(number))
    counts.ab_test(PROMPT).result()  # aggregates the file once
    statements.clear()
    counts.record(outcome(50))
    for seconds in RETENTION_S:
        counts.record_retention(Retention("50", seconds, 1))
        counts.ab_test(PROMPT).result()
    assert [name for name, _ in statements] == ["INSERT", "UPDATE", "UPDATE", "UPDATE"]
    assert {thread for _, thread in statements}.isdisjoint({threading.get_ident()})
    counts.close()


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 3 * PERIOD_S),  # seconds that pass before
        st.booleans(),  # without the prompt
        st.sampled_from(["accepted", "partially accepted", "rejected", "typed", "ignored"]),
        st.integers(1, 9),
        st.sets(st.sampled_from(RETENTION_S)),
    ),
    max_size=20,
)


@settings(max_examples=30, deadline=None)
@given(before=EVENTS, after=EVENTS)
def test_running_sums_equal_the_files(tmp_path_factory, before, after):
    clock = Clock()
    counts = Statistics(tmp_path_factory.mktemp("statistics") / "file", clock)

    def record(number: int, event) -> None:
        passed, without_prompt, kind, accepted, measured = event
        clock.now += passed
        accepted = accepted if "accepted" in kind else 0
        counts.record(outcome(number, kind, accepted=accepted, without_prompt=without_prompt))
        for seconds in measured if accepted else ():
            counts.record_retention(Retention(str(number), seconds, accepted // 2))

    for number, event in enumerate(before):
        record(number, event)
    counts.ab_test(PROMPT).result()
    for number, event in enumerate(after, len(before)):
        record(number, event)
    running = counts._thread.submit(lambda: counts._arms[PROMPT]).result()
    expected = counts.summary(PROMPT).result()
    assert (running[False].summary(), running[True].summary()) == (
        expected.with_prompt,
        expected.without_prompt,
    )
    read = counts._arms[PROMPT]
    for arm in (False, True):
        for seconds in RETENTION_S:
            assert vars(running[arm].retention[seconds]) == vars(read[arm].retention[seconds])
    counts.close()


def test_ab_test_compares_what_is_retained_after_two_minutes(counts, clock):
    """Half as much without the prompt, in as many periods as a verdict takes."""
    for number in range(2 * MIN_CLUSTERS):
        clock.now += PERIOD_S
        without_prompt = number % 2 == 1
        counts.record(outcome(number, without_prompt=without_prompt))
        counts.record_retention(Retention(str(number), 120, 5 if without_prompt else 10))
        expected = "gain" if number == 2 * MIN_CLUSTERS - 1 else "unknown"
        assert counts.ab_test(PROMPT).result().verdict == expected
    assert counts.ab_test("other@34").result().verdict == "unknown"
    assert counts.summary(PROMPT).result().ab_test.difference == 5


@given(share=st.floats(0, 0.5), uri=st.text(), seed=st.binary(max_size=16))
def test_document_stays_in_one_arm_for_a_period(share, uri, seed):
    clock = Clock()
    clock.now = 0
    ab_test = AbTest(share, seed, clock)
    first = ab_test.is_without_prompt(uri)
    clock.now = PERIOD_S - 1
    assert ab_test.is_without_prompt(uri) == first


def test_share_of_the_arm_without_the_prompt(clock):
    ab_test = AbTest(0.25, b"seed", clock)
    without_prompt = 0
    for number in range(4000):
        clock.now = number * PERIOD_S
        without_prompt += ab_test.is_without_prompt("file:///a.py")
    assert abs(without_prompt - 1000) < 120  # more than four standard deviations
    never = AbTest(0, b"", clock)
    assert not any(never.is_without_prompt(str(number)) for number in range(100))


@pytest.mark.parametrize(("seconds", "number"), [(0, 0), (299.9, 0), (300, 1), (1e9, 3333333)])
def test_period(seconds, number):
    assert period(seconds) == number
