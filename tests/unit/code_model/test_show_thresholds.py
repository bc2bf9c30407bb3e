"""Three steps of sureness, and how files keep their thresholds."""

import json

import pytest

from code_model.show_thresholds import UNCALIBRATED, ShowThresholds


def test_each_step_has_its_threshold() -> None:
    thresholds = ShowThresholds(-1.0, -0.5, -0.2)
    assert [thresholds.at(step) for step in ("eager", "balanced", "sure")] == [-1.0, -0.5, -0.2]


def test_json_gives_them_back() -> None:
    thresholds = ShowThresholds(-1.25, -0.5, -0.125)
    assert ShowThresholds.from_dict(json.loads(json.dumps(thresholds.to_dict()))) == thresholds


@pytest.mark.parametrize(
    "value",
    [
        None,
        -1.5,
        {},
        {"eager": -1.0, "balanced": -0.5},
        {"eager": 1.0, "balanced": -0.5, "sure": -0.2},
        {"eager": float("nan"), "balanced": -0.5, "sure": -0.2},
        {"eager": "all", "balanced": -0.5, "sure": -0.2},
    ],
)
def test_anything_else_gives_none(value: object) -> None:
    assert ShowThresholds.from_dict(value) is None


def test_a_surer_step_asks_for_more() -> None:
    assert UNCALIBRATED.eager < UNCALIBRATED.balanced < UNCALIBRATED.sure
