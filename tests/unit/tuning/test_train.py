"""Training: only the prompt learns, a killed run continues, and intervals are over files."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from code_context.holes import Hole
from code_model.decoder.model import DecoderModel
from code_model.decoder.soft_prompt import kv_of_ids
from code_model.language_model import TunableModel
from prompts.form import Form
from tuning.checkpoint import unfinished_path
from tuning.config import TuningConfig
from tuning.corpus import SourceFile
from tuning.distributed import ProcessGroup
from tuning.evaluate import Gain, paired_gain, total_nats
from tuning.examples import Example, HeldOutHole
from tuning.prompt_optimiser import PromptOptimiser, rate
from tuning.soft_prompt import SoftPrompt, initial_ids
from tuning.train import EVALUATION_SHARE, Checkpoint, TrainingState, Validate, retrain, train

CONFIG = TuningConfig(
    num_virtual_tokens=8, steps=12, learning_rate=0.15, examples_per_step=4, n_evaluations=3, seed=1
)
EXAMPLES = [Example([9, 30, 31, 32, 33, 34 + n], 3) for n in range(4)]
START = list(range(5, 13))
FIXTURES = [HealthCheck.function_scoped_fixture]


class Cycle:
    """The same four examples for ever."""

    def __getitem__(self, number: int) -> Example:
        return EXAMPLES[number % len(EXAMPLES)]


def initial(base: DecoderModel, form: Form, ids: list[int] = START) -> SoftPrompt:
    return SoftPrompt(base.prompt_embeddings_of(ids, form), form)


def gains_of(base: DecoderModel, form: Form) -> Validate:
    def nats(rows: torch.Tensor) -> float:
        with torch.no_grad():
            prefix = base.prefix_of(rows, form)
        return total_nats(base.score(prefix, EXAMPLES)).sum()

    before = nats(initial(base, form).start)
    return lambda rows, model: Gain(1 - nats(rows) / before, 0.0, 0.0)


def tuned_on_examples(
    base: DecoderModel,
    config: TuningConfig = CONFIG,
    validate: Validate | None = None,
    report: Callable[[float, TrainingState], None] = lambda share, tuned: None,
    resume: Checkpoint | None = None,
) -> tuple[torch.Tensor, TrainingState]:
    prefix = initial(base, config.form)
    start = prefix.start.clone()
    validate = validate or gains_of(base, config.form)
    return start, train(base, prefix, Cycle(), validate, config, report, resume=resume)


@pytest.mark.parametrize("form", ["kv-nope", "kv", "embedding"])
def test_the_prompt_learns_and_the_model_stays_frozen(base: DecoderModel, form: Form) -> None:
    before = base.weights_hash()
    start, tuned = tuned_on_examples(base, replace(CONFIG, form=form))
    assert base.weights_hash() == before
    assert tuned.selected.gain.mean > 0.1
    assert tuned.steps == 12
    assert [evaluation.step for evaluation in tuned.evaluations] == [0, 4, 8, 12]
    assert tuned.prompt_embeddings.shape == start.shape
    assert tuned.prompt_embeddings[0].equal(start[0]), "the first token is frozen"
    assert not tuned.prompt_embeddings[1].equal(start[1])


def test_the_same_seed_gives_the_same_bytes(base: DecoderModel) -> None:
    _, first = tuned_on_examples(base)
    _, second = tuned_on_examples(base)
    assert first.prompt_embeddings.equal(second.prompt_embeddings)


def test_what_is_measured_and_kept_is_part_of_the_mean_of_the_steps(base: DecoderModel) -> None:
    """With an exponent of zero, every step counts the same."""
    config = replace(CONFIG, ema_power=0.0, wise_ft_alpha=0.5, n_evaluations=1)
    prefix = initial(base, config.form)
    offsets: list[torch.Tensor] = []
    measured: list[torch.Tensor] = []

    def validate(rows: torch.Tensor, model: TunableModel) -> Gain:
        measured.append(rows)
        return Gain(float(len(measured)), 0.0, 0.0)

    def report(share: float, tuned: TrainingState) -> None:
        offsets.append(prefix.delta.detach().clone())

    tuned = train(base, prefix, Cycle(), validate, config, report)
    half = prefix.start[1:] + prefix.scale * 0.5 * torch.stack(offsets).mean(dim=0)
    torch.testing.assert_close(measured[-1][1:], half.detach(), atol=1e-5, rtol=1e-4)
    assert tuned.prompt_embeddings.equal(measured[-1])
    assert not tuned.prompt_embeddings.equal(prefix.prompt_embeddings()), (
        "not the last offsets alone"
    )


def test_evaluations_use_the_precision_of_training(
    base: DecoderModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bfloat16 where that is faster, and close to what float32 gives."""
    monkeypatch.setattr(DecoderModel, "prefers_bfloat16", lambda self: True)
    seen = []

    def validate(rows: torch.Tensor, model: TunableModel) -> Gain:
        with torch.no_grad():
            prefix = base.prefix_of(rows, CONFIG.form)
        low, full = (total_nats(each.score(prefix, EXAMPLES)) for each in (model, base))
        np.testing.assert_allclose(low, full, rtol=0.02)
        seen.append(model.runtime.precision)
        return Gain(0.0, 0.0, 0.0)

    _, tuned = tuned_on_examples(base, CONFIG, validate)
    assert tuned.bfloat16
    assert seen == ["bfloat16"] * 4


@pytest.mark.parametrize(("evaluation_seconds", "evaluations"), [(0.5, 8), (12.0, 3)])
def test_evaluations_take_a_small_share_of_the_minutes(
    base: DecoderModel, monkeypatch: pytest.MonkeyPatch, evaluation_seconds: float, evaluations: int
) -> None:
    """By a clock that only examples (a second each) and evaluations move on."""
    now = 0.0

    class Slow(Cycle):
        def __getitem__(self, number: int) -> Example:
            nonlocal now
            now += 1.0
            return super().__getitem__(number)

    def validate(rows: torch.Tensor, model: TunableModel) -> Gain:
        nonlocal now
        now += evaluation_seconds
        return Gain(now, 0.0, 0.0)

    monkeypatch.setattr("tuning.train.time", SimpleNamespace(monotonic=lambda: now))
    config = replace(CONFIG, steps=None, minutes=4.0, n_evaluations=8)
    prefix = initial(base, config.form)
    tuned = train(base, prefix, Slow(), validate, config, lambda share, tuned: None)
    assert len(tuned.evaluations) == 1 + evaluations
    assert tuned.evaluations[-1].fraction == 1.0
    assert tuned.evaluations[-1].step == tuned.steps
    assert now <= 240.0 + 2 * 4.0, "the budget is kept, but for the last step"
    assert evaluations * evaluation_seconds <= EVALUATION_SHARE * 240.0 + evaluation_seconds


def test_decay_leads_back_to_the_start(base: DecoderModel) -> None:
    def moved(decay: float) -> float:
        start, tuned = tuned_on_examples(
            base,
            replace(CONFIG, weight_decay=decay),
            lambda rows, model: Gain(rows.norm(), 0.0, 0.0),
        )
        return float((tuned.prompt_embeddings - start).norm())

    assert moved(2.0) < 0.8 * moved(0.0)


def test_ctrl_c_keeps_the_best_so_far(base: DecoderModel) -> None:
    gains = iter([0.0, 0.3, 0.1])
    stopped = replace(CONFIG, steps=9)

    def report(share: float, tuned: TrainingState) -> None:
        if share > 0.7:
            raise KeyboardInterrupt

    _, tuned = tuned_on_examples(
        base, stopped, lambda rows, model: Gain(next(gains), 0.0, 0.0), report
    )
    assert tuned.interrupted
    assert (tuned.selected.step, tuned.selected.gain.mean) == (3, 0.3)


class Killed(Exception):
    """The process dies here."""


@given(st.integers(1, 11))
@settings(max_examples=6, deadline=None, suppress_health_check=FIXTURES)
def test_a_killed_run_ends_at_the_same_bytes(
    base: DecoderModel, tmp_path_factory: pytest.TempPathFactory, step: int
) -> None:
    """Killed after any step, whatever was saved by then."""
    state = Checkpoint(tmp_path_factory.mktemp("run") / "p.unfinished.safetensors", "this run")
    _, whole = tuned_on_examples(base)

    def die(share: float, tuned: TrainingState) -> None:
        if tuned.steps == step:
            raise Killed

    with pytest.raises(Killed):
        tuned_on_examples(base, report=die, resume=state)
    seen: list[int] = []
    _, tuned = tuned_on_examples(
        base, report=lambda share, tuned: seen.append(tuned.steps), resume=state
    )
    assert seen[-1] == 12
    assert (seen[0] > 1) == (step > 4), "it goes on from what was saved"
    assert tuned.prompt_embeddings.equal(whole.prompt_embeddings)
    assert [evaluation.gain for evaluation in tuned.evaluations] == [
        evaluation.gain for evaluation in whole.evaluations
    ]


def test_runs_of_two_prompts_keep_their_states_apart() -> None:
    one, other = (Path(f"team-{version}.attune.safetensors") for version in ("1.1", "1.2"))
    assert unfinished_path(one) == Path("team-1.1.unfinished.safetensors")
    assert unfinished_path(one) != unfinished_path(other)


def test_the_state_of_another_run_is_not_resumed(base: DecoderModel, tmp_path: Path) -> None:
    path = tmp_path / "p.unfinished.safetensors"
    tuned_on_examples(base, resume=Checkpoint(path, "one"))
    seen: list[int] = []
    hear = lambda share, tuned: seen.append(tuned.steps)  # noqa: E731
    tuned_on_examples(base, report=hear, resume=Checkpoint(path, "another"))
    assert seen[0] == 1
    path.write_bytes(path.read_bytes()[:100])
    seen.clear()
    tuned_on_examples(base, report=hear, resume=Checkpoint(path, "another"))
    assert seen[0] == 1, "a damaged state is no state"


@pytest.mark.parametrize(
    ("last", "selected"), [(0.31, 3), (0.29, 3), (0.25, 3), (0.23, 2), (0.0, 2), (-0.1, 2)]
)
def test_of_evaluations_within_a_standard_error_of_the_best_the_last_is_selected(
    base: DecoderModel, last: float, selected: int
) -> None:
    """0.3 with an interval of ± 0.1: a standard error is 0.051."""
    gains = iter([0.0, 0.1, 0.3, last])
    doubt = 0.1

    def validate(rows: torch.Tensor, model: TunableModel) -> Gain:
        mean = next(gains)
        return Gain(mean, mean - doubt, mean + doubt)

    _, tuned = tuned_on_examples(base, CONFIG, validate)
    assert tuned.evaluations.index(tuned.selected) == selected


def test_an_evaluation_no_better_than_the_start_is_not_selected(base: DecoderModel) -> None:
    gains = itertools.chain([0.05], itertools.repeat(0.04))
    start, tuned = tuned_on_examples(base, CONFIG, lambda rows, model: Gain(next(gains), -1.0, 1.0))
    assert tuned.prompt_embeddings.equal(start)


def test_without_an_interval_the_best_is_selected(base: DecoderModel) -> None:
    """One validation file gives none."""
    gains = iter([0.0, 0.2, 0.3, 0.29])
    _, tuned = tuned_on_examples(
        base, CONFIG, lambda rows, model: Gain(next(gains), -math.inf, math.inf)
    )
    assert tuned.evaluations.index(tuned.selected) == 2


def test_training_stops_early_when_the_best_is_long_past(base: DecoderModel) -> None:
    gains = itertools.chain([0.0, 0.3], itertools.repeat(0.2))
    config = replace(CONFIG, steps=40, examples_per_step=2, n_evaluations=10, patience=3)
    _, tuned = tuned_on_examples(base, config, lambda rows, model: Gain(next(gains), 0.0, 0.0))
    assert (tuned.selected.step, tuned.steps) == (4, 16)
    assert not tuned.interrupted


def test_a_prompt_that_never_helps_is_the_untrained_one(base: DecoderModel) -> None:
    gains = itertools.chain([0.0], itertools.repeat(-1.0))
    start, tuned = tuned_on_examples(base, CONFIG, lambda rows, model: Gain(next(gains), 0.0, 0.0))
    assert tuned.prompt_embeddings.equal(start)


@pytest.mark.parametrize("form", ["kv", "embedding"])
def test_an_unmoved_prompt_is_what_serving_makes_of_its_file(
    base: DecoderModel, form: Form
) -> None:
    prompt = initial(base, form, [5, 6, 7])
    prefix = base.prefix_of(prompt.prompt_embeddings(), form)
    torch.testing.assert_close(prefix.kv, kv_of_ids(base.llama, [5, 6, 7]))


def test_the_start_is_real_code_with_the_beginning_first(base: DecoderModel) -> None:
    files = [SourceFile(f"{n}.py", f"class Shared{n}:\n    value = 1\n") for n in range(3)]
    ids = initial_ids(base, files, 40)
    assert len(ids) == 40
    assert ids[0] == base.encoder.beginning_ids[0]
    assert "class Shared" in base.tokenizer.decode(ids)
    assert initial_ids(base, files, 40) == ids


def test_the_rate_rises_during_the_warmup_then_falls_to_zero() -> None:
    assert [rate(share, 0.1) for share in (0.0, 0.05, 0.1, 0.55, 1.0)] == pytest.approx(
        [0.0, 0.5, 1.0, 0.5, 0.0]
    )


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from([0.0, 0.05, 0.5]))
def test_the_rate_has_one_peak(one: float, other: float, warmup: float) -> None:
    before, after = sorted((one, other))
    if after <= warmup:
        assert rate(before, warmup) <= rate(after, warmup)
    elif before >= warmup:
        assert rate(before, warmup) >= rate(after, warmup)
    assert rate(warmup, warmup) == pytest.approx(1.0)


def test_a_step_is_taken_at_the_scheduled_rate(base: DecoderModel) -> None:
    """The first AdamW step moves each offset by the rate: at half of the warm-up by half of it."""

    def moved(fraction: float) -> float:
        prompt = initial(base, CONFIG.form)
        config = replace(CONFIG, warmup=0.1, weight_decay=0.0)
        PromptOptimiser(base, prompt, Cycle(), config, ProcessGroup()).step(0, fraction)
        return float(prompt.delta.detach().abs().max())

    assert moved(0.1) == pytest.approx(CONFIG.learning_rate, rel=1e-2)
    assert moved(0.05) == pytest.approx(CONFIG.learning_rate / 2, rel=1e-2)
    assert moved(0.55) == pytest.approx(CONFIG.learning_rate / 2, rel=1e-2)


@pytest.mark.parametrize("n_steps", [0, 4, 8])
def test_a_run_is_repeated_up_to_any_step(
    base: DecoderModel, monkeypatch: pytest.MonkeyPatch, n_steps: int
) -> None:
    """The prompt of an evaluation in the middle of a run, of its schedule and its average."""
    monkeypatch.setattr(DecoderModel, "prefers_bfloat16", lambda self: False)
    seen: dict[int, torch.Tensor] = {}
    steps = iter([0, 4, 8, 12])

    def validate(embeddings: torch.Tensor, model: TunableModel) -> Gain:
        seen[next(steps)] = embeddings
        return Gain(0.0, 0.0, 0.0)

    tuned_on_examples(base, CONFIG, validate)
    again = retrain(
        base,
        initial(base, CONFIG.form),
        Cycle(),
        CONFIG,
        n_steps=n_steps,
        bfloat16=False,
        progress=lambda done: None,
    )
    assert again.equal(seen[n_steps])


def holes_of(files: list[int]) -> list[HeldOutHole]:
    return [
        HeldOutHole(SourceFile(f"{n}.py", "x"), Hole("line", 0, 1), Example([1], 1), None, 10)
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
    """Many holes of one lucky file are not strong evidence."""
    without = np.full(40, 10.0)
    lucky = np.array([1.0] * 38 + [10.5, 10.5])
    assert not paired_gain(without, lucky, holes_of([0] * 38 + [1, 2]), 1).low > 0.0
