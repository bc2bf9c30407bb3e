"""Which prompts a proof lets serve, by three rules, if it has fewer places than there are.

    python -m benchmarks.proof_rule [--steps N | --minutes N]

Draws places from those that `benchmarks.acceptance` replayed with a prompt of so many steps or
minutes and with none, and counts how often each package's prompt would serve: if the whole interval
of the characters saved does not lie below the loss that is allowed, if their mean does not, or if
the interval's lower end does not. Before that, it prints what all places say, at the balanced
threshold alone and at all from eager to sure.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.acceptance import SEED, Package, gain_text, measure, prompt_config
from benchmarks.repositories import CACHE, repositories
from benchmarks.tuned_prompts import tuned_prompt
from code_model.loading import load_tunable_model
from code_model.show_thresholds import ShowThresholds
from pretraining.package_lists import held_out
from tuning.acceptance import Replay, saved_at_equal_wrong
from tuning.proof import BOTH, MAX_LOSS, RETRIEVAL

SIZES = (100, 200, 300)
DRAWS = 40


def serving(
    replay: Replay, baseline: Replay, steps: ShowThresholds, size: int, draws: int = DRAWS
) -> tuple[float, float, float]:
    """Shares of the draws in which a prompt serves: by the upper end, the mean, the lower end."""
    rng = np.random.default_rng(SEED)
    served = np.zeros(3)
    for _ in range(draws):
        rows = rng.choice(len(baseline.paths), size).tolist()
        gain = saved_at_equal_wrong(_some(replay, rows), _some(baseline, rows), steps, SEED)
        served += np.array([gain.high, gain.mean, gain.low]) > -MAX_LOSS
    upper, mean, lower = (served / draws).tolist()
    return upper, mean, lower


def _some(replay: Replay, rows: Sequence[int]) -> Replay:
    paths = tuple(replay.paths[row] for row in rows)
    return Replay(paths, replay.thresholds, replay.saved[rows], replay.wrong[rows])


def main() -> None:
    """Print what each prompt saves, and how often it would serve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--places", type=int, default=400)
    parser.add_argument("--cache", type=Path, default=CACHE)
    options = parser.parse_args()
    model, names = load_tunable_model(), list(held_out())
    folders, steps = repositories(options.cache, names), model.show_thresholds
    config = prompt_config(options.steps, options.minutes)
    gains, shares = Table(title="Characters saved"), Table(title="Draws in which the prompt serves")
    for name in ("package", "balanced alone", "eager to sure"):
        gains.add_column(name)
    for name in ("package", "places", "upper end", "mean", "lower end"):
        shares.add_column(name)
    for name in names:
        prompt = tuned_prompt(model, folders[name], config, options.cache)
        package = Package.of(folders[name], options.places, prompt, options.cache)
        replays = measure(model, package, prompt, as_served=True)
        pair = replays[BOTH], replays[RETRIEVAL]
        balanced = ShowThresholds(*[steps.balanced] * 3)
        each = (saved_at_equal_wrong(*pair, one, SEED).to_json() for one in (balanced, steps))
        gains.add_row(name, *map(gain_text, each))
        for size in SIZES:
            cells = (f"{share:.0%}" for share in serving(*pair, steps, size))
            shares.add_row(name, str(size), *cells)
    Console().print(gains, shares)


if __name__ == "__main__":
    main()
