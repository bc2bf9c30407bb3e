"""Scores on held-out files: bits per byte with intervals over files, and completed lines."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz

from code_context.context import ContextConfig
from code_context.retrieval import Retriever
from code_model.language_model import Session
from completion.model_input import CompletionPoint
from completion.pipeline import complete
from tuning.examples import HeldOutHole, middle_of, without_middle

RESAMPLES = 4_000
LINE_KINDS = ("line", "line_end")
IDENTIFIER = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True)
class Gain:
    """Relative improvement over a baseline, with its 95 % interval over files."""

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
        bounded = math.isfinite(self.low) and math.isfinite(self.high)
        return (self.high - self.low) / (2 * 1.96) if bounded else 0.0

    def to_json(self) -> dict[str, float | None]:
        """The figures; without an interval (one file) its ends are null."""
        bounded = math.isfinite(self.low)
        return {
            "gain": round(self.mean, 5),
            "gain_low": round(self.low, 5) if bounded else None,
            "gain_high": round(self.high, 5) if bounded else None,
        }


@dataclass(frozen=True)
class Decoded:
    """The first line of one completion, and the file's own text there (`expected`)."""

    path: str
    line: int
    left: str
    expected: str
    text: str


@dataclass(frozen=True)
class DecodedScores:
    """Completed first lines compared with the files' own.

    Shares (0 to 1) of exact matches and of right first identifiers (of the lines that have one),
    mean edit similarity (0 to 1), and the mean number of characters before the first wrong one.
    """

    exact_match: float
    edit_similarity: float
    first_identifier: float
    kept_characters: float
    samples: tuple[Decoded, ...]


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


def decoded_scores(
    session: Session,
    holes: Sequence[HeldOutHole],
    others: Retriever | None = None,
    context: ContextConfig | None = None,
) -> DecodedScores:
    """Complete the holes of lines and line ends as the editor would, and compare first lines.

    With `others`, retrieved code stands in front. `context` defaults to that of the session's
    prompt.
    """
    samples = []
    for hole in holes:
        if hole.hole.kind not in LINE_KINDS:
            continue
        text = without_middle(hole.file, hole.hole)
        start = hole.hole.start
        point = CompletionPoint.parse(text, hole.file.path, start, others, context)
        completion = complete(session, point, explicit=True)
        samples.append(
            Decoded(
                path=hole.file.path,
                line=text.count("\n", 0, start) + 1,
                left=text[text.rfind("\n", 0, start) + 1 : start],
                expected=_first_line(middle_of(hole.file, hole.hole)),
                text=_first_line(completion.text),
            )
        )
    pairs = [(sample.text, sample.expected) for sample in samples]
    identifiers = [
        (_first_identifier(text), identifier)
        for text, expected in pairs
        if (identifier := _first_identifier(expected))
    ]
    return DecodedScores(
        exact_match=_mean([text == expected for text, expected in pairs]),
        edit_similarity=_mean([fuzz.ratio(text, expected) / 100 for text, expected in pairs]),
        first_identifier=_mean([text == expected for text, expected in identifiers]),
        kept_characters=_mean([_kept(text, expected) for text, expected in pairs]),
        samples=tuple(samples),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))


def _kept(text: str, expected: str) -> int:
    pairs = zip(text, expected, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(text), len(expected)))


def _first_identifier(text: str) -> str | None:
    match = IDENTIFIER.search(text)
    return match[0] if match else None


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0].rstrip() if lines else ""
