"""Scores on held-out files: bits per byte, and gains with intervals over files."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuning.examples import HeldOutHole

RESAMPLES = 4_000


@dataclass(frozen=True)
class Gain:
    """Relative improvement over a baseline, with its 95 % interval over files.

    Of a single file there is no interval; its ends are infinite.
    """

    mean: float
    low: float
    high: float

    @property
    def proven(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0.0

    @property
    def standard_error(self) -> float:
        """That of a normal distribution with this interval; 0 without an interval."""
        return (self.high - self.low) / (2 * 1.96) if self.bounded else 0.0

    @property
    def bounded(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def to_json(self) -> dict[str, float | None]:
        """The figures; without an interval (one file) its ends are null."""
        return {
            "gain": round(self.mean, 5),
            "gain_low": round(self.low, 5) if self.bounded else None,
            "gain_high": round(self.high, 5) if self.bounded else None,
        }


def total_nats(scores: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Nats of each middle, from those of its tokens (`Session.score`)."""
    return np.array([sum(nats) for nats in scores], dtype=np.float64)


def bits_per_byte(nats: NDArray[np.float64], holes: Sequence[HeldOutHole]) -> float:
    """Bits of all middles over their bytes."""
    return float(nats.sum() / math.log(2) / sum(hole.size for hole in holes))


def paired_gain(
    without: NDArray[np.float64],
    with_prompt: NDArray[np.float64],
    holes: Sequence[HeldOutHole],
    seed: int,
) -> Gain:
    """1 - bits with / bits without, resampled over files (percentile bootstrap).

    Holes of one file are not independent, so whole files are drawn. With a single file there is
    nothing to resample and the interval is unbounded: such a gain is never proven.
    """
    paths = sorted({hole.file.path for hole in holes})
    row = {path: index for index, path in enumerate(paths)}
    sums = np.zeros((len(paths), 2))
    for hole, bare, prompted in zip(holes, without, with_prompt, strict=True):
        sums[row[hole.file.path]] += (bare, prompted)
    total = sums.sum(axis=0)
    mean = float(1 - total[1] / total[0])
    if len(paths) < 2:
        return Gain(mean, -math.inf, math.inf)
    rng = np.random.default_rng(seed)
    drawn = sums[rng.integers(len(paths), size=(RESAMPLES, len(paths)))].sum(axis=1)
    low, high = np.percentile(1 - drawn[:, 1] / drawn[:, 0], (2.5, 97.5))
    return Gain(mean, float(low), float(high))
