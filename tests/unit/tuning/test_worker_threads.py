"""Lanes: the work is dealt evenly, and more of them change nothing but the time."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from code_model.decoder.llama import PrefixKV
from code_model.decoder.soft_prompt import kv_of_ids
from code_model.loading import BaseModel
from prompts.manifest import Form
from tuning import evaluate, objective
from tuning.config import TuningConfig
from tuning.evaluate import middle_nats
from tuning.examples import Example
from tuning.objective import step_gradient
from tuning.prefix import initial_prefix
from tuning.worker_threads import dealt, side_by_side


@given(st.lists(st.integers(2, 600), max_size=12), st.integers(1, 5))
def test_every_example_is_in_one_part_and_none_is_overloaded(
    lengths: list[int], lanes: int
) -> None:
    examples = [Example([0] * length, 1) for length in lengths]
    parts = dealt(examples, lanes)
    assert len(parts) == min(lanes, len(examples))
    assert sorted(id(one) for part in parts for one in part) == sorted(map(id, examples))
    loads = [sum(len(one.ids) for one in part) for part in parts]
    if loads:
        assert max(loads) - min(loads) <= max(lengths)


def test_results_come_in_order_whichever_lane_is_first() -> None:
    second_is_done = threading.Event()

    def work(part: int) -> int:
        if part == 0:
            assert second_is_done.wait(30)
        else:
            second_is_done.set()
        return part

    assert list(side_by_side(work, [0, 1], 2)) == [0, 1]


def test_what_a_lane_raises_is_raised() -> None:
    def work(part: int) -> int:
        raise ValueError(f"part {part}")

    with pytest.raises(ValueError, match="part 0"):
        list(side_by_side(work, [0, 1, 2], 2))


def test_lanes_leave_the_threads_of_the_caller_alone() -> None:
    before = torch.get_num_threads()
    assert set(side_by_side(lambda part: torch.get_num_threads(), range(4), 4)) == {
        max(1, before // 4)
    }
    assert torch.get_num_threads() == before


def test_holes_are_measured_alike_in_one_lane_and_in_three(
    base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = [Example(list(range(3, 20 + n)), 2 + n % 5) for n in range(30)]
    prefix = PrefixKV(kv_of_ids(base.model, [0, 5, 6]))
    nats = []
    for lanes in (1, 3):
        monkeypatch.setattr(evaluate, "lanes_of", lambda model, lanes=lanes: lanes)
        nats.append(middle_nats(base.model, prefix, examples))
    np.testing.assert_allclose(*nats, rtol=1e-4)


@pytest.mark.parametrize("form", ["kv-nope", "embedding"])
def test_a_step_learns_alike_in_one_lane_and_in_three(
    base: BaseModel, monkeypatch: pytest.MonkeyPatch, form: Form
) -> None:
    examples = [Example(list(range(3, 20 + n)), 2 + n) for n in range(4)]
    prefix = initial_prefix(base, form, [0, 5, 6, 7])
    found = []
    for lanes in (1, 3):
        monkeypatch.setattr(objective, "lanes_of", lambda model, lanes=lanes: lanes)
        found.append(step_gradient(base.model, prefix, examples, TuningConfig()))
    (loss, weight, gradient), (other_loss, other_weight, other_gradient) = found
    assert gradient.abs().max() > 0
    assert (loss, weight) == pytest.approx((other_loss, other_weight), rel=1e-5)
    torch.testing.assert_close(gradient, other_gradient, atol=1e-3, rtol=1e-3)
