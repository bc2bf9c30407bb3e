"""The proof of a prompt: the same held-out holes served without it, with it, and with controls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from code_context.context import ContextConfig
from code_context.retrieval import Retriever
from code_model.language_model import LanguageModel
from prompts.file import PromptFile
from tuning.evaluate import (
    LINE_KINDS,
    DecodedScores,
    Gain,
    bits_per_byte,
    decoded_scores,
    paired_gain,
    total_nats,
)
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
DECODED_LINES = 40


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
    decoded: DecodedScores
    strata: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Figures without samples of code."""
        return {
            "bits_per_byte": round(self.bits_per_byte, 5),
            **self.gain.to_json(),
            "exact_match": round(self.decoded.exact_match, 5),
            "edit_similarity": round(self.decoded.edit_similarity, 5),
            "first_identifier": round(self.decoded.first_identifier, 5),
            "kept_characters": round(self.decoded.kept_characters, 3),
            "strata": {name: round(bits, 5) for name, bits in self.strata.items()},
        }


@dataclass(frozen=True)
class Proof:
    """Scores on held-out files.

    `gain` compares this prompt with no prompt, `over_retrieval` this prompt and retrieval with
    retrieval alone. `specificity` is the share of the gain that other repositories' prompts do not
    have: (own - mean of theirs) / own; None without such prompts or without a gain. `strata` counts
    holes by stratum.
    """

    files: int
    holes: int
    decoded_lines: int
    results: tuple[ConditionResult, ...]
    gain: Gain
    over_retrieval: Gain | None
    specificity: float | None
    strata: Mapping[str, int]

    def result(self, name: str) -> ConditionResult:
        """The result of the condition of that name."""
        return next(result for result in self.results if result.name == name)

    @property
    def proven(self) -> bool:
        """Whether the interval of the gain excludes zero, and the prompt does not make retrieval
        worse, which the editor serves with."""
        over = self.over_retrieval
        return self.gain.proven and (over is None or over.mean > 0)

    def to_json(self) -> dict[str, Any]:
        """Figures without samples of code, for the prompt file (where conditions are `arms`)."""
        over = self.over_retrieval
        return {
            "files": self.files,
            "holes": self.holes,
            "decoded_lines": self.decoded_lines,
            **self.gain.to_json(),
            "proven": self.proven,
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
    others: Retriever | None = None,
    context: ContextConfig | None = None,
) -> Proof:
    """Score conditions by name, of which `NO_PROMPT` comes first and `THIS_PROMPT` is one.

    `strata` holds each hole's stratum (`tuning.strata`). `progress` is called with the share done.
    The conditions with retrieval find code in `others`; the holes must then have both forms.
    `context` is what the holes were built with.
    """
    lines = [hole for hole in holes if hole.hole.kind in LINE_KINDS][:DECODED_LINES]
    rows_of = _rows_by_stratum(holes, strata)
    results: list[ConditionResult] = []
    nats: dict[str, NDArray[np.float64]] = {}
    for done, (name, condition) in enumerate(conditions.items()):
        progress(done / len(conditions))
        session = condition.model.open(condition.prompt)
        examples = [(condition.retrieval and hole.retrieved) or hole.example for hole in holes]
        own = nats[name] = total_nats(session.score(examples))
        progress((done + 0.5) / len(conditions))
        retriever = others if condition.retrieval else None
        results.append(
            ConditionResult(
                name,
                bits_per_byte(own, holes),
                paired_gain(nats[NO_PROMPT], own, holes, seed),
                decoded_scores(session, lines, retriever, context),
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
        decoded_lines=len(lines),
        results=tuple(results),
        gain=gain,
        over_retrieval=over_retrieval,
        specificity=_specificity(gain, of_others),
        strata={stratum: len(rows) for stratum, rows in rows_of.items()},
    )


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
