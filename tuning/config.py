"""The recipe of a tuning run: every number in one place."""

from dataclasses import dataclass
from typing import Literal

from prompts.form import Form

Task = Literal["completion", "docstring"]
MAX_SEED = 2**32 - 1
MIN_TOKENS, MAX_TOKENS = 32, 1024


@dataclass(frozen=True)
class TuningConfig:
    """The recipe; docs/experiments.md justifies the numbers. `steps` replaces the time budget and
    makes runs repeatable.

    Shares are of the examples: `causal_fraction` windows without a hole, `retrieved` holes with
    code of other files in front. The loss is cross-entropy, in which a token outside of the hole
    has the weight `context_weight`. Training examples have at most `max_tokens` tokens, held-out
    ones `held_out_tokens`, about as many as in serving. `include` (patterns of .gitignore) selects
    the files that the prompt is for, `task` what is hidden in them: docstrings, or code of every
    kind. Training evaluates `n_evaluations` times on `validation_holes`, and stops early after
    `patience` evaluations that were not selected; the proof has
    `test_holes`, and completes at `proof_places` without and with the prompt.

    Reason for its size: a recipe is one flat list of numbers, which the prompt file records.
    """

    form: Form = "kv-nope"
    num_virtual_tokens: int = 256
    # of these, in the form kv-nope: the others are hardly looked at (tuning.pruning)
    keep_ratio: float = 0.5
    minutes: float = 4.0
    steps: int | None = None
    # an AdamW step moves each number by about the rate times its scale (tuning.soft_prompt)
    learning_rate: float = 0.1
    warmup: float = 0.05
    # towards the start, by this share of the rate in every step, for a million characters to tune
    # on; for other sizes see `tuning.job.Job.weight_decay`
    weight_decay: float = 0.025
    # the offsets of step t have the weight t ** ema_power in their mean
    ema_power: float = 4.0
    # the share of that mean that is measured and written (tuning.prompt_optimiser)
    wise_ft_alpha: float = 0.8
    max_grad_norm: float = 1.0
    examples_per_step: int = 4
    max_tokens: int = 512
    held_out_tokens: int = 512
    causal_fraction: float = 0.25
    context_weight: float = 0.3
    retrieved: float = 0.5
    n_evaluations: int = 8
    patience: int = 4
    validation_holes: int = 80
    test_holes: int = 160
    proof_places: int = 200
    include: tuple[str, ...] = ()
    task: Task = "completion"
    seed: int = 1
