"""The proof of a prompt: the same held-out holes served without it, with it, and with controls."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from code_context.context import ContextConfig
from code_context.retrieval import Retriever
from code_model.language_model import LanguageModel, Session
from prompts.file import PromptFile
from tuning.acceptance import (
    AcceptanceScores,
    Place,
    Replay,
    ShownText,
    replay_together,
    saved_at_equal_wrong,
)
from tuning.evaluate import Gain, bits_per_byte, paired_gain, total_nats
from tuning.examples import HeldOutHole
from tuning.strata import STRATA

NO_PROMPT = "no prompt"
UNTRAINED = "untrained prompt"
RETRIEVAL = "retrieval only"
BOTH = "this prompt + retrieval"
LORA = "LoRA"
PRESENT = "prompt before the refresh"
THIS_PROMPT = "this prompt"
GENERIC = "generic prompt"
OTHER = "prompt of "  # followed by another repository's name

MAX_LOSS = 0.02
"""Characters saved that a prompt may cost, as a share, and still count as costing none."""

MIN_PLACES = MIN_HOLES = 60
NARROW = 2 * MAX_LOSS
"""Width of an interval of characters saved, as a share, that more places need not narrow."""


@dataclass(frozen=True)
class Condition:
    """One way to serve in an evaluation: a model, a prompt, and retrieved code or none.

    `model` is the frozen model, except for LoRA.
    """

    model: LanguageModel
    prompt: PromptFile | None = None
    retrieval: bool = False


@dataclass(frozen=True)
class ConditionResult:
    """The scores of one condition on the held-out holes; `gain` is against no prompt.

    `strata` holds bits per byte by stratum, and of the newest commits' lines as "newest".
    """

    name: str
    bits_per_byte: float
    gain: Gain
    strata: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Figures without samples of code."""
        return {
            "bits_per_byte": round(self.bits_per_byte, 5),
            **self.gain.to_json(),
            "strata": {name: round(bits, 5) for name, bits in self.strata.items()},
        }


@dataclass(frozen=True)
class Acceptance:
    """What people see at places of held-out files, served with retrieval as in the editor.

    `without` and `with_prompt` are the scores at each one's own balanced show threshold. `gain` is
    that in characters saved where both have equally many wrong ones, over all steps of sureness.
    """

    places: int
    files: int
    without: AcceptanceScores
    with_prompt: AcceptanceScores
    gain: Gain
    texts: tuple[ShownText, ...] = ()

    @property
    def costs_characters(self) -> bool:
        """Whether the prompt, by its mean, costs characters.

        Not by an end of its interval, which is some twenty points wide: the upper end would let
        most harmful prompts serve, the lower end half of the good ones not
        (`benchmarks.proof_rule`, docs/experiments.md).
        """
        return self.gain.mean <= -MAX_LOSS

    def to_json(self) -> dict[str, Any]:
        """Figures without samples of code."""
        return {
            "places": self.places,
            "files": self.files,
            "without": self.without.to_json(),
            "with_prompt": self.with_prompt.to_json(),
            **self.gain.to_json(),
        }


@dataclass(frozen=True)
class Proof:
    """Scores on held-out files.

    `acceptance` is what people see; None if nothing was replayed. `gain` compares this prompt with
    no prompt, `over_retrieval` this prompt and retrieval with retrieval alone. `specificity` is the
    share of the gain that other repositories' prompts do not have: (own - mean of theirs) / own;
    None without such prompts or without a gain. `strata` counts holes by stratum.
    """

    files: int
    holes: int
    results: tuple[ConditionResult, ...]
    gain: Gain
    over_retrieval: Gain | None
    specificity: float | None
    strata: Mapping[str, int]
    acceptance: Acceptance | None = None

    @property
    def proven(self) -> bool:
        """Whether the interval of the gain in bits excludes zero, and the prompt makes nothing
        worse that the editor serves: neither bits beside retrieval, nor the characters saved."""
        over, seen = self.over_retrieval, self.acceptance
        helps_retrieval = over is None or over.mean > 0
        return self.gain.proven and helps_retrieval and not (seen and seen.costs_characters)

    def to_json(self) -> dict[str, Any]:
        """Figures without samples of code, for the prompt file (where conditions are `arms`)."""
        over = self.over_retrieval
        return {
            "files": self.files,
            "holes": self.holes,
            **self.gain.to_json(),
            "proven": self.proven,
            "acceptance": None if self.acceptance is None else self.acceptance.to_json(),
            "over_retrieval": None if over is None else over.to_json(),
            "specificity": None if self.specificity is None else round(self.specificity, 4),
            "strata": dict(self.strata),
            "arms": {result.name: result.to_json() for result in self.results},
        }


def prove(
    holes: Sequence[HeldOutHole],
    strata: Sequence[str],
    conditions: Mapping[str, Condition],
    seed: int,
    progress: Callable[[float], None],
    acceptance: Acceptance | None = None,
    seconds: float = math.inf,
) -> Proof:
    """Score conditions by name, of which `NO_PROMPT` comes first and `THIS_PROMPT` is one.

    `strata` holds each hole's stratum (`tuning.strata`). `progress` is called with the share done.
    For conditions with retrieval the holes must have both forms. If all conditions would take
    longer than `seconds`, by the time that the first one takes, only the first holes count, at
    least `MIN_HOLES`; they should be in random order.
    """
    started = time.monotonic()
    nats = {NO_PROMPT: _nats(conditions[NO_PROMPT], holes)}
    expected = (time.monotonic() - started) * len(conditions)
    if expected > seconds:
        holes = holes[: max(MIN_HOLES, int(len(holes) * seconds / expected))]
        strata, nats[NO_PROMPT] = strata[: len(holes)], nats[NO_PROMPT][: len(holes)]
    rows_of = _rows_by_stratum(holes, strata)
    results: list[ConditionResult] = []
    for done, (name, condition) in enumerate(conditions.items()):
        progress(done / len(conditions))
        if name not in nats:
            nats[name] = _nats(condition, holes)
        own = nats[name]
        results.append(
            ConditionResult(
                name,
                bits_per_byte(own, holes),
                paired_gain(nats[NO_PROMPT], own, holes, seed),
                {
                    stratum: bits_per_byte(own[rows], [holes[row] for row in rows])
                    for stratum, rows in rows_of.items()
                },
            )
        )
    progress(1.0)
    gain = next(result.gain for result in results if result.name == THIS_PROMPT)
    over_retrieval = None
    if RETRIEVAL in nats and BOTH in nats:
        over_retrieval = paired_gain(nats[RETRIEVAL], nats[BOTH], holes, seed)
    of_others = [result.gain for result in results if result.name.startswith(OTHER)]
    return Proof(
        files=len({hole.file.path for hole in holes}),
        holes=len(holes),
        results=tuple(results),
        gain=gain,
        over_retrieval=over_retrieval,
        specificity=_specificity(gain, of_others),
        strata={stratum: len(rows) for stratum, rows in rows_of.items()},
        acceptance=acceptance,
    )


def compare_acceptance(
    without: Session,
    with_prompt: Session,
    places: Sequence[Place],
    retriever: Retriever,
    context: ContextConfig,
    seed: int,
    on_place: Callable[[int, ShownText], None],
    seconds: float = math.inf,
) -> Acceptance:
    """Complete at the same places without and with the prompt, both with retrieval.

    It ends before the last place where the interval is as narrow as `NARROW`, or after `seconds`,
    but not before `MIN_PLACES`. `on_place` is called with the number of places that are done and
    what the last one shows.
    """
    thresholds = without.show_thresholds.balanced, with_prompt.show_thresholds.balanced
    started = time.monotonic()

    def shown(replays: Sequence[Replay], row: int) -> ShownText:
        texts = (
            replayed.text_at(threshold, row)
            for replayed, threshold in zip(replays, thresholds, strict=True)
        )
        return ShownText(places[row], *texts)

    def gain(replays: Sequence[Replay]) -> Gain:
        bare, prompted = replays
        return saved_at_equal_wrong(prompted, bare, without.show_thresholds, seed)

    def is_enough(so_far: Sequence[Replay]) -> bool:
        done = len(so_far[0].paths)
        on_place(done, shown(so_far, done - 1))
        if done < MIN_PLACES:
            return False
        if time.monotonic() - started > seconds:
            return True
        if done % MIN_PLACES:
            return False
        now = gain(so_far)
        return now.high - now.low <= NARROW

    replays = replay_together((without, with_prompt), places, retriever, context, until=is_enough)
    bare, prompted = replays
    return Acceptance(
        places=len(bare.paths),
        files=len(set(bare.paths)),
        without=bare.at(thresholds[0]),
        with_prompt=prompted.at(thresholds[1]),
        gain=gain(replays),
        texts=tuple(shown(replays, row) for row in range(len(bare.paths))),
    )


def _nats(condition: Condition, holes: Sequence[HeldOutHole]) -> NDArray[np.float64]:
    examples = [(condition.retrieval and hole.retrieved) or hole.example for hole in holes]
    return total_nats(condition.model.open(condition.prompt).score(examples))


def _rows_by_stratum(holes: Sequence[HeldOutHole], strata: Sequence[str]) -> dict[str, list[int]]:
    rows_of: dict[str, list[int]] = {}
    for name in STRATA:
        rows_of[name] = [row for row, stratum in enumerate(strata) if stratum == name]
    rows_of["newest"] = [row for row, hole in enumerate(holes) if hole.newest]
    return {name: rows for name, rows in rows_of.items() if rows}


def _specificity(own: Gain, others: Sequence[Gain]) -> float | None:
    if not others or own.mean <= 0:
        return None
    return (own.mean - fmean(other.mean for other in others)) / own.mean
