"""Acceptance: replay completions at places of unseen files, and count right and wrong characters.

A suggestion is right if the file's text from the cursor on begins with it. It then saves its
characters; if it is wrong, all of its characters are wrong. One greedy decode of a place gives its
suggestion at every threshold, because the threshold only cuts what was decoded (`completion.gate`).
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from code_context.context import ContextConfig
from code_context.holes import Hole, HoleKind
from code_context.retrieval import Retriever
from code_model.language_model import Session
from code_model.show_thresholds import TARGETS, ShowThresholds
from completion.gate import likely_tokens
from completion.model_input import CompletionPoint
from completion.pipeline import complete, present
from tuning.corpus import SourceFile
from tuning.evaluate import RESAMPLES, Gain
from tuning.examples import holes_by_kind, without_middle

KIND_SHARES: dict[HoleKind, float] = {"line_end": 0.5, "line": 0.3, "block": 0.1, "body": 0.1}
"""Where people are when a completion is triggered: mostly at the end of a partly typed line."""

PROBABILITIES = (0.02, 0.05, *(round(0.1 + 0.05 * step, 2) for step in range(18)))
THRESHOLDS: NDArray[np.float64] = np.log(PROBABILITIES)
"""Joint log-probabilities (nats) that suggestions are measured at, from low to high."""

MIN_SHOWN = 20  # suggestions at a threshold; of fewer the share of right ones says little


@dataclass(frozen=True)
class Place:
    """A hole of an unseen file, at which an automatic completion is triggered."""

    file: SourceFile
    hole: Hole


@dataclass(frozen=True)
class AcceptanceScores:
    """What is seen at one threshold. `shown` is a share of the places, `right` of those shown;
    `saved` and `wrong` are characters per place."""

    shown: float
    right: float
    saved: float
    wrong: float

    def to_json(self) -> dict[str, float]:
        """The figures."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Replay:
    """One condition at N places and T thresholds: `saved` and `wrong` characters, (N, T) each.

    `paths` are the places' files, `thresholds` (T) joint log-probabilities (nats) from low to high,
    `texts` (N, T) what is shown. A place without a suggestion has zeros and empty texts.
    """

    paths: tuple[str, ...]
    thresholds: NDArray[np.float64]
    saved: NDArray[np.float64]
    wrong: NDArray[np.float64]
    texts: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def empty(cls, thresholds: NDArray[np.float64]) -> "Replay":
        """Of no place yet."""
        none = np.zeros((0, len(thresholds)))
        return cls((), thresholds, none, none)

    def with_place(self, place: Place, expected: str, texts: Sequence[str]) -> "Replay":
        """With one more place: `texts` (T) were shown where the file says `expected`."""
        right = np.array([expected.startswith(text) for text in texts])
        lengths = np.array([float(len(text)) for text in texts])
        return Replay(
            (*self.paths, place.file.path),
            self.thresholds,
            np.vstack([self.saved, np.where(right, lengths, 0.0)]),
            np.vstack([self.wrong, np.where(right, 0.0, lengths)]),
            (*self.texts, tuple(texts)),
        )

    def at(self, threshold: float) -> AcceptanceScores:
        """The scores at the measured threshold nearest to a log-probability (nats)."""
        column = self.column(threshold)
        saved, wrong = self.saved[:, column], self.wrong[:, column]
        right, shown = int(np.count_nonzero(saved)), int(np.count_nonzero(saved + wrong))
        return AcceptanceScores(
            shown / len(saved), right / max(1, shown), float(saved.mean()), float(wrong.mean())
        )

    def text_at(self, threshold: float, row: int = -1) -> str:
        """What is shown at a place, of which `row` is the number; that of the last one."""
        return self.texts[row][self.column(threshold)]

    def column(self, threshold: float) -> int:
        """Where the threshold nearest to a log-probability (nats) stands; 0 for minus infinity."""
        return int(np.abs(self.thresholds - threshold).argmin()) if threshold > -math.inf else 0


def sample_places(files: Sequence[SourceFile], count: int, seed: int) -> list[Place]:
    """At most `count` places, spread evenly over the files; kinds are drawn by their shares."""
    rng = random.Random(seed)
    places: list[Place] = []
    per_file = max(2, -(-count // max(1, len(files))))
    for file in files:
        kinds = {
            kind: holes
            for kind, holes in holes_by_kind(file, "completion").items()
            if kind in KIND_SHARES
        }
        for _ in range(per_file):
            remaining = [kind for kind in kinds if kinds[kind]]
            if not remaining:
                break
            kind = rng.choices(remaining, [KIND_SHARES[kind] for kind in remaining])[0]
            places.append(Place(file, kinds[kind].pop(rng.randrange(len(kinds[kind])))))
    rng.shuffle(places)
    return places[:count]


@dataclass(frozen=True)
class ShownText:
    """What is shown at one place without and with the prompt."""

    place: Place
    without: str
    with_prompt: str


def replay(
    session: Session,
    places: Sequence[Place],
    retriever: Retriever | None = None,
    context: ContextConfig | None = None,
    thresholds: NDArray[np.float64] = THRESHOLDS,
) -> Replay:
    """Complete at every place by the path that serves: kind, context, decode, cut, filters.

    `context` defaults to that of the session's prompt.
    """
    (replayed,) = replay_together([session], places, retriever, context, thresholds)
    return replayed


def replay_together(
    sessions: Sequence[Session],
    places: Sequence[Place],
    retriever: Retriever | None = None,
    context: ContextConfig | None = None,
    thresholds: NDArray[np.float64] = THRESHOLDS,
    until: Callable[[Sequence[Replay]], bool] = lambda so_far: False,
) -> list[Replay]:
    """`replay` with several sessions, place by place.

    `until` gets the replays so far after every place and says whether that is enough.
    """
    so_far = [Replay.empty(thresholds) for _ in sessions]
    for place in places:
        text, start = without_middle(place.file, place.hole), place.hole.start
        point = CompletionPoint.parse(text, place.file.path, start, retriever, context)
        expected = place.file.text[start:]
        so_far = [
            replayed.with_place(place, expected, _shown_texts(session, point, thresholds))
            for session, replayed in zip(sessions, so_far, strict=True)
        ]
        if until(so_far):
            break
    return so_far


def _shown_texts(
    session: Session, point: CompletionPoint, thresholds: NDArray[np.float64]
) -> list[str]:
    """What is shown at each threshold."""
    result = complete(session, point, threshold=float(thresholds[0]))
    generation, kind = result.generation, result.kind
    if generation is None or kind is None:
        return [""] * len(thresholds)
    texts: dict[int, str] = {}  # by the number of tokens that stay
    shown = []
    for threshold in thresholds:
        count = likely_tokens(generation.logprobs, threshold)
        if count not in texts:
            texts[count] = present(session.model, point, kind, generation, threshold).text
        shown.append(texts[count])
    return shown


def calibrate(replays: Sequence[Replay]) -> ShowThresholds | None:
    """For each step, the lowest threshold such that, at it and above, the share of right
    suggestions reaches the step's target.

    Thresholds with fewer than `MIN_SHOWN` suggestions are ignored; if that is all of them, nothing
    can be calibrated. A target that is never reached gives the highest threshold.
    """
    finite = np.isfinite(replays[0].thresholds)
    thresholds = replays[0].thresholds[finite]
    saved = np.concatenate([replayed.saved[:, finite] for replayed in replays])
    wrong = np.concatenate([replayed.wrong[:, finite] for replayed in replays])
    shown = np.count_nonzero(saved + wrong, axis=0)
    right = np.count_nonzero(saved, axis=0) / np.maximum(1, shown)
    if not np.any(shown >= MIN_SHOWN):
        return None
    steps = {}
    for step, target in TARGETS.items():
        below_target = np.flatnonzero((right < target) & (shown >= MIN_SHOWN))
        first = below_target[-1] + 1 if len(below_target) else 0
        steps[step] = float(thresholds[min(first, len(thresholds) - 1)])
    return ShowThresholds(**steps)


def saved_at_equal_wrong(
    replay: Replay, baseline: Replay, steps: ShowThresholds, seed: int
) -> Gain:
    """Relative increase in characters saved over the baseline, where both have equally many wrong
    ones; with a 95 % interval over files (percentile bootstrap, paired).

    Both were replayed at the same places. They are compared at each measured threshold of the
    baseline from the eager to the sure one of `steps`, and the characters of all of these are
    added: at a single threshold a few long suggestions decide (docs/experiments.md). Both curves
    are interpolated between thresholds; where several thresholds have equally many wrong
    characters, the lowest of them counts, for both.
    """
    if replay.paths != baseline.paths:
        raise ValueError("the replays are of different places")
    columns = slice(baseline.column(steps.eager), baseline.column(steps.sure) + 1)
    names, of_file = np.unique(replay.paths, return_inverse=True)
    sums = [
        np.stack([values[of_file == number].sum(axis=0) for number in range(len(names))])
        for values in (replay.saved, replay.wrong, baseline.saved, baseline.wrong)
    ]

    def gain(counts: NDArray[np.float64]) -> float:
        saved, wrong, base_saved, base_wrong = (counts @ values for values in sums)
        # wrong characters fall as the threshold rises
        same, before = (
            np.interp(base_wrong[columns], np.maximum.accumulate(falling[::-1]), of[::-1]).sum()
            for of, falling in ((saved, wrong), (base_saved, base_wrong))
        )
        return float((same - before) / max(before, 1.0))

    mean = gain(np.ones(len(names)))
    if len(names) < 2:
        return Gain(mean, -math.inf, math.inf)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    low, high = np.percentile([gain(counts.astype(float)) for counts in drawn], (2.5, 97.5))
    return Gain(mean, float(low), float(high))
