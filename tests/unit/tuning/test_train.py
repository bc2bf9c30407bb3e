"""Training: the prefix learns, the model does not, and the proof is honest about doubt."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from code_context.syntax import Hole
from code_model.loading import BaseModel, weights_hash
from code_model.soft_prompt import kv_of_ids
from tuning.corpus import SourceFile
from tuning.evaluate import Gain, middle_nats, paired_gain
from tuning.examples import Example, HeldOutHole
from tuning.prefix import KVPrefix, initial_ids
from tuning.train import Check, TuningConfig, loss_of, rate, train

CONFIG = TuningConfig(
    num_virtual_tokens=8, steps=12, learning_rate=0.15, examples_per_step=4, checks=3, seed=1
)
EXAMPLES = [Example([9, 30, 31, 32, 33, 34 + n], 3) for n in range(4)]


def tuned_on_examples(base: BaseModel, config: TuningConfig = CONFIG):
    start = kv_of_ids(base.model, list(range(5, 13)))

    def validate(prefix: torch.Tensor) -> Gain:
        now = middle_nats(base.model, prefix, EXAMPLES).sum()
        before = middle_nats(base.model, start, EXAMPLES).sum()
        return Gain(1 - now / before, 0.0, 0.0)

    torch.manual_seed(0)
    return start, train(
        base.model, start, itertools.cycle(EXAMPLES), validate, config, lambda share, check: None
    )


def test_the_prefix_learns_and_the_model_stays_frozen(base: BaseModel) -> None:
    before = weights_hash(base.model)
    start, tuned = tuned_on_examples(base)
    assert weights_hash(base.model) == before
    assert tuned.best.gain.mean > 0.1
    assert tuned.steps == 12
    assert [check.step for check in tuned.checks] == [0, 4, 8, 12]
    assert not tuned.prefix.equal(start)


def test_the_first_token_is_frozen(base: BaseModel) -> None:
    start, tuned = tuned_on_examples(base)
    assert tuned.prefix[:, :, :, 0].equal(start[:, :, :, 0])
    assert not tuned.prefix[:, :, :, 1].equal(start[:, :, :, 1])


def test_the_same_seed_gives_the_same_bytes(base: BaseModel) -> None:
    assert tuned_on_examples(base)[1].prefix.equal(tuned_on_examples(base)[1].prefix)


def test_ctrl_c_keeps_the_best_so_far(base: BaseModel) -> None:
    start = kv_of_ids(base.model, list(range(5, 13)))
    gains = iter([0.0, 0.3, 0.1])
    stopped = TuningConfig(num_virtual_tokens=8, steps=9, examples_per_step=4, checks=3)

    def report(share: float, check: Check) -> None:
        if share > 0.7:
            raise KeyboardInterrupt

    tuned = train(
        base.model,
        start,
        itertools.cycle(EXAMPLES),
        lambda prefix: Gain(next(gains), 0.0, 0.0),
        stopped,
        report,
    )
    assert tuned.interrupted
    assert (tuned.best.step, tuned.best.gain.mean) == (3, 0.3)


def test_training_stops_early_when_the_best_is_long_past(base: BaseModel) -> None:
    start = kv_of_ids(base.model, list(range(5, 13)))
    gains = itertools.chain([0.0, 0.3], itertools.repeat(0.2))
    config = TuningConfig(
        num_virtual_tokens=8, steps=40, examples_per_step=2, checks=10, patience=3
    )
    tuned = train(
        base.model,
        start,
        itertools.cycle(EXAMPLES),
        lambda prefix: Gain(next(gains), 0.0, 0.0),
        config,
        lambda share, check: None,
    )
    assert (tuned.best.step, tuned.steps) == (4, 16)
    assert not tuned.interrupted


def test_a_prefix_that_never_helps_is_the_untrained_one(base: BaseModel) -> None:
    start = kv_of_ids(base.model, list(range(5, 13)))
    gains = itertools.chain([0.0], itertools.repeat(-1.0))
    tuned = train(
        base.model,
        start,
        itertools.cycle(EXAMPLES),
        lambda prefix: Gain(next(gains), 0.0, 0.0),
        CONFIG,
        lambda share, check: None,
    )
    assert tuned.prefix.equal(start)


def test_offsets_start_at_zero(base: BaseModel) -> None:
    start = kv_of_ids(base.model, [5, 6, 7])
    assert KVPrefix(start)().equal(start)


def test_padding_is_never_scored(base: BaseModel) -> None:
    prefix = kv_of_ids(base.model, [0])
    short, long = Example([9, 30, 31], 2), Example([9, 40, 41, 42, 43, 44], 4)
    together = loss_of(base.model, prefix, [short, long])
    apart = loss_of(base.model, prefix, [short]) + loss_of(base.model, prefix, [long])
    torch.testing.assert_close(together, apart, atol=0.05, rtol=1e-2)
    nats = middle_nats(base.model, prefix, [short, long])
    alone = [middle_nats(base.model, prefix, [one])[0] for one in (short, long)]
    np.testing.assert_allclose(nats, alone, rtol=1e-2)


def test_the_start_is_real_code_with_the_beginning_first(base: BaseModel) -> None:
    files = [SourceFile(f"{n}.py", f"class Shared{n}:\n    value = 1\n") for n in range(3)]
    ids = initial_ids(base, files, 40)
    assert len(ids) == 40
    assert ids[0] == base.encoder.beginning_ids[0]
    assert "class Shared" in base.tokenizer.decode(ids)
    assert initial_ids(base, files, 40) == ids


@given(st.floats(0, 1))
def test_the_rate_rises_then_falls(fraction: float) -> None:
    assert 0.0 <= rate(fraction, 0.1) <= 1.0
    assert rate(1.0, 0.1) == 0.0


def holes_of(files: list[int]) -> list[HeldOutHole]:
    return [
        HeldOutHole(SourceFile(f"{n}.py", "x"), Hole("line", 0, 1), Example([1], 1), 10)
        for n in files
    ]


def test_a_steady_gain_is_proven_and_a_mixed_one_is_not() -> None:
    holes = holes_of([0, 0, 1, 2, 3, 4, 5])
    without = np.full(7, 10.0)
    steady = paired_gain(without, without * 0.95, holes, 1)
    assert steady.mean == pytest.approx(0.05)
    assert steady.proven
    mixed = paired_gain(without, without * np.array([0.5, 1.5, 1.3, 0.9, 0.8, 1.3, 0.6]), holes, 1)
    assert not mixed.proven


def test_one_file_proves_nothing() -> None:
    gain = paired_gain(np.full(3, 10.0), np.full(3, 1.0), holes_of([0, 0, 0]), 1)
    assert gain.mean == pytest.approx(0.9)
    assert (gain.low, gain.high) == (-math.inf, math.inf)
    assert not gain.proven


def test_holes_of_a_file_are_drawn_together() -> None:
    """Many holes of one lucky file must not look like much evidence."""
    without = np.full(40, 10.0)
    lucky = np.array([1.0] * 38 + [10.5, 10.5])
    assert not paired_gain(without, lucky, holes_of([0] * 38 + [1, 2]), 1).low > 0.0
