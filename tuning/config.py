"""The recipe of a tuning run: every number in one place."""

from dataclasses import dataclass
from typing import Literal

from prompts.form import Form

Task = Literal["completion", "docstring"]
MAX_SEED = 2**32 - 1
MIN_TOKENS, MAX_TOKENS = 32, 1024


@dataclass(frozen=True)
class TuningConfig:
    """The recipe. `steps`, where given, replaces the time budget and makes runs repeatable.

    Shares are of the examples: `causal_fraction` windows without a hole, `retrieved` holes with
    code of other files in front. The loss is cross-entropy, in which a token outside of the hole
    weighs `context_weight`.

    Examples to learn from are at most `max_tokens` long, those to measure by `held_out_tokens`,
    about as long as serving's. `include` (gitignore's patterns) names the files that the prompt is
    for, `task` what is hidden in them: docstrings, or code as people let it complete.

    docs/experiments.md justifies the numbers.
    """

    form: Form = "kv-nope"
    num_virtual_tokens: int = 256
    minutes: float = 4.0
    steps: int | None = None
    # an AdamW step moves each number by about the rate times its scale (tuning.soft_prompt)
    learning_rate: float = 0.1
    warmup: float = 0.05
    # towards the start, by this share of the rate in every step; with files of a million characters
    # to tune on, and with others in inverse proportion (tuning.job)
    weight_decay: float = 0.025
    # the offsets of step t count t ** ema_power in the mean that is measured and written
    ema_power: float = 4.0
    # the share of that mean that is measured and written: interpolation between start and tuned
    # weights (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903)
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
    include: tuple[str, ...] = ()
    task: Task = "completion"
    seed: int = 1
