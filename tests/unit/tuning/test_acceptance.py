"""Acceptance: what is right, what a threshold shows, and comparisons at equal wrong characters."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_context.context import ContextConfig
from code_model.decoder.model import DecoderModel
from code_model.show_thresholds import TARGETS, ShowThresholds
from completion.model_input import CompletionPoint
from completion.pipeline import complete
from tests.unit.tuning.conftest import FILE
from tuning.acceptance import (
    KIND_SHARES,
    MIN_SHOWN,
    THRESHOLDS,
    Replay,
    ShownText,
    calibrate,
    replay,
    sample_places,
    saved_at_equal_wrong,
)
from tuning.corpus import SourceFile
from tuning.examples import indexed, without_middle
from tuning.proof import MIN_PLACES, compare_acceptance

HALF = len(THRESHOLDS) // 2
ALL_STEPS = ShowThresholds(THRESHOLDS[0], THRESHOLDS[HALF], THRESHOLDS[-1])


def replay_of(saved: list[list[float]], wrong: list[list[float]], files: int = 1) -> Replay:
    """Rows are places; a row's numbers stand for equal parts of the thresholds."""
    rows = [
        np.repeat(np.array(values, dtype=float), -(-len(THRESHOLDS) // len(values[0])), axis=1)
        for values in (saved, wrong)
    ]
    paths = tuple(f"{number % files}.py" for number in range(len(saved)))
    return Replay(paths, THRESHOLDS, *(counts[:, : len(THRESHOLDS)] for counts in rows))


def test_a_text_that_the_file_begins_with_is_right(base: DecoderModel) -> None:
    """Each place is completed as for an editor; the file's own text decides."""
    files = [SourceFile(f"{n}.py", FILE) for n in range(2)]
    places = sample_places(files, 12, seed=0)
    everything = np.array([-math.inf])
    result = replay(base.open(), places, thresholds=everything)
    seen = set()
    for row, place in enumerate(places):
        text = without_middle(place.file, place.hole)
        point = CompletionPoint.parse(text, place.file.path, place.hole.start)
        shown = complete(base.open(), point).text
        is_right = bool(shown) and place.file.text[place.hole.start :].startswith(shown)
        assert result.saved[row, 0] == (len(shown) if is_right else 0)
        assert result.wrong[row, 0] == (0 if is_right else len(shown))
        seen.add(bool(shown))
    assert True in seen


def test_places_are_of_the_kinds_that_people_complete_and_of_all_files() -> None:
    files = [SourceFile(f"{n}.py", FILE) for n in range(3)]
    places = sample_places(files, 9, seed=1)
    assert {place.file.path for place in places} == {file.path for file in files}
    assert {place.hole.kind for place in places} <= KIND_SHARES.keys()
    assert len({(place.file.path, place.hole.start) for place in places}) == len(places) == 9
    assert places == sample_places(files, 9, seed=1)
    assert places != sample_places(files, 9, seed=2)


def test_no_places_without_files_that_have_any() -> None:
    assert sample_places([SourceFile("empty.py", "\n")], 5, seed=0) == []


def test_scores_are_shares_and_characters_per_place() -> None:
    scores = replay_of([[8, 8], [0, 0], [0, 0], [4, 0]], [[0, 0], [6, 0], [0, 0], [0, 0]])
    low, high = scores.at(THRESHOLDS[0]), scores.at(THRESHOLDS[-1])
    assert (low.shown, low.right, low.saved, low.wrong) == (0.75, pytest.approx(2 / 3), 3.0, 1.5)
    assert (high.shown, high.right, high.saved, high.wrong) == (0.25, 1.0, 2.0, 0.0)


def test_a_step_shows_as_much_as_its_share_of_right_ones_allows() -> None:
    """Below the middle threshold 60 of 100 are right, above it 9 of 10."""
    right, wrong, later = [[5.0, 5.0]] * 45, [[5.0, 5.0]] * 5, 15
    saved = right + [[0.0, 0.0]] * 5 + [[5.0, 0.0]] * later + [[0.0, 0.0]] * 35
    bad = [[0.0, 0.0]] * 45 + wrong + [[0.0, 0.0]] * later + [[5.0, 0.0]] * 35
    thresholds = calibrate([replay_of(saved, bad)])
    assert thresholds is not None
    assert 0.5 <= 0.6 < TARGETS["balanced"] < TARGETS["sure"] < 0.9
    assert thresholds.eager == THRESHOLDS[0]
    middle = THRESHOLDS[-(-len(THRESHOLDS) // 2)]
    assert thresholds.balanced == thresholds.sure == middle


def test_few_suggestions_calibrate_nothing() -> None:
    shown = [[5.0, 5.0]] * MIN_SHOWN
    nothing = [[0.0, 0.0]] * MIN_SHOWN
    assert calibrate([replay_of(shown, nothing)]) is not None
    assert calibrate([replay_of(shown[1:], nothing[1:])]) is None


def test_a_threshold_that_shows_everything_is_none_to_calibrate_by() -> None:
    """Minus infinity is no number in JSON."""
    shown = np.full((MIN_SHOWN, len(THRESHOLDS) + 1), 5.0)
    with_everything = np.concatenate(([-np.inf], THRESHOLDS))
    paths = ("a.py",) * MIN_SHOWN
    thresholds = calibrate([Replay(paths, with_everything, shown, np.zeros_like(shown))])
    assert thresholds is not None
    assert thresholds.eager == THRESHOLDS[0]


def test_saved_is_compared_where_as_many_characters_are_wrong() -> None:
    """Twice as much saved at half the wrong ones: at equal wrong ones the gain is larger."""
    base_ = replay_of([[4, 2]] * 6, [[0, 0]] * 6, files=3)
    base_.wrong[:] = np.linspace(10, 0, len(THRESHOLDS))
    better = Replay(base_.paths, THRESHOLDS, base_.saved * 2, base_.wrong.copy())
    gain = saved_at_equal_wrong(better, base_, ALL_STEPS, seed=0)
    assert (gain.mean, gain.low, gain.high) == (1.0, 1.0, 1.0)
    cheaper = Replay(base_.paths, THRESHOLDS, base_.saved.copy(), base_.wrong / 2)
    # where both have as many wrong ones, it is at a lower threshold, which shows twice as much
    strict = ShowThresholds(*[THRESHOLDS[HALF + 2]] * 3)
    assert saved_at_equal_wrong(cheaper, base_, strict, seed=0).mean == 1.0
    with pytest.raises(ValueError, match="different places"):
        saved_at_equal_wrong(replay_of([[1, 1]], [[0, 0]]), base_, ALL_STEPS, seed=0)


def test_characters_count_at_every_threshold_between_eager_and_sure() -> None:
    base_ = replay_of([[4, 4]] * 6, [[0, 0]] * 6, files=3)
    base_.wrong[:] = np.linspace(10, 0, len(THRESHOLDS))
    saved = base_.saved.copy()
    saved[:, HALF] += 4  # twice as many, at one threshold
    better = Replay(base_.paths, THRESHOLDS, saved, base_.wrong)
    for first, last, mean in ((0, 3, 0.0), (HALF, HALF, 1.0), (HALF - 1, HALF + 2, 0.25)):
        steps = ShowThresholds(THRESHOLDS[first], THRESHOLDS[HALF], THRESHOLDS[last])
        assert saved_at_equal_wrong(better, base_, steps, seed=0).mean == pytest.approx(mean)


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_a_replay_gains_nothing_over_itself(places: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shown = np.sort(rng.integers(1, 30, (places, len(THRESHOLDS))), axis=1)[:, ::-1].astype(float)
    right = rng.random((places, 1)) < 0.5
    paths = tuple(f"{n % 4}.py" for n in range(places))
    own = Replay(paths, THRESHOLDS, shown * right + 1, shown * ~right)
    gain = saved_at_equal_wrong(own, own, ALL_STEPS, seed=0)
    assert gain.mean == 0.0
    assert (gain.low, gain.high) == (0.0, 0.0) or len(set(paths)) == 1


def test_two_sessions_are_compared_at_the_same_places(base: DecoderModel) -> None:
    """One that completes alike gains nothing; each text is what that session shows."""
    files = [SourceFile(f"{n}.py", FILE) for n in range(3)]
    places = sample_places(files, 12, seed=0)
    done: list[tuple[int, ShownText]] = []
    result = compare_acceptance(
        base.open(),
        base.open(),
        places,
        indexed(files),
        ContextConfig(),
        1,
        lambda number, shown: done.append((number, shown)),
    )
    assert (result.places, result.files) == (12, 3)
    assert result.without == result.with_prompt
    assert result.gain.mean == 0.0
    assert done == list(enumerate(result.texts, start=1))
    assert [one.place for one in result.texts] == places
    assert all(one.without == one.with_prompt for one in result.texts)


@pytest.mark.parametrize(
    ("right_with_prompt", "seconds", "places"),
    [
        (0.8, math.inf, 200),  # its interval stays wide
        (0.5, math.inf, MIN_PLACES),  # no place differs
        (0.8, 0.0, MIN_PLACES),  # there is no time for more
    ],
)
def test_the_comparison_ends_where_more_places_say_no_more(
    base: DecoderModel,
    monkeypatch: pytest.MonkeyPatch,
    right_with_prompt: float,
    seconds: float,
    places: int,
) -> None:
    file = SourceFile("a.py", FILE)
    (place,) = sample_places([file], 1, seed=0)
    right = place.file.text[place.hole.start :][:4]
    asked = {"without": 0, "with": 0}
    sessions = {"without": base.open(), "with": base.open()}

    def shown(session: object, point: object, thresholds: np.ndarray) -> list[str]:
        name = "without" if session is sessions["without"] else "with"
        asked[name] += 1
        share = 0.5 if name == "without" else right_with_prompt
        is_right = asked[name] % 10 < 10 * share
        return [right if is_right else "wrong"] * len(thresholds)

    monkeypatch.setattr("tuning.acceptance._shown_texts", shown)
    all_places = [replace(place, file=replace(file, path=f"{n % 7}.py")) for n in range(200)]
    result = compare_acceptance(
        sessions["without"],
        sessions["with"],
        all_places,
        indexed([]),
        ContextConfig(),
        1,
        lambda number, text: None,
        seconds,
    )
    assert result.places == places
    assert asked == {"without": places, "with": places}
