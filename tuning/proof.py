"""Prove a prompt: the same held-out holes served without it, with it, and with controls."""

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
class EvaluationCondition:
    """One way to serve: which model behind which prompt, with code of other files or without.

    `base` is the frozen model, but for LoRA.
    """

    base: LanguageModel
    prompt: PromptFile | None = None
    retrieval: bool = False


@dataclass(frozen=True)
class EvaluationResult:
    """Scores of one way to serve the held-out holes; `gain` is against no prompt.

    `strata` holds bits per byte by stratum, and of the newest commits' lines as "newest".
    """

    name: str
    bits_per_byte: float
    gain: Gain
    decoded: DecodedScores
    strata: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Proof:
    """Scores on held-out files; `gain` compares this prompt with no prompt, `over_retrieval` this
    prompt and retrieval with retrieval alone.

    `specificity` is the share of the gain that other repositories' prompts do not have:
    (own - mean of theirs) / own; None without such prompts or without a gain. `strata`
    counts holes.
    """

    files: int
    holes: int
    decoded_lines: int
    arms: tuple[EvaluationResult, ...]
    gain: Gain
    over_retrieval: Gain | None
    specificity: float | None
    strata: Mapping[str, int]

    def arm(self, name: str) -> EvaluationResult:
        """The arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)

    @property
    def proven(self) -> bool:
        """Whether the interval of the gain excludes zero, and retrieval, which serving has too, is
        not better off without the prompt."""
        over = self.over_retrieval
        return self.gain.proven and (over is None or over.mean > 0)

    @property
    def this(self) -> EvaluationResult:
        """The arm of the prompt that is to be proved."""
        return self.arm(THIS_PROMPT)

    def to_json(self) -> dict[str, Any]:
        """Figures without samples of code: this goes into the prompt file."""
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
            "arms": {
                arm.name: {
                    "bits_per_byte": round(arm.bits_per_byte, 5),
                    **arm.gain.to_json(),
                    "exact_match": round(arm.decoded.exact_match, 5),
                    "edit_similarity": round(arm.decoded.edit_similarity, 5),
                    "first_identifier": round(arm.decoded.first_identifier, 5),
                    "kept_characters": round(arm.decoded.kept_characters, 3),
                    "strata": {name: round(bits, 5) for name, bits in arm.strata.items()},
                }
                for arm in self.arms
            },
        }


def prove(
    holes: Sequence[HeldOutHole],
    strata: Sequence[str],
    ways: Mapping[str, EvaluationCondition],
    seed: int,
    progress: Callable[[float], None],
    others: Retriever | None = None,
    context: ContextConfig | None = None,
) -> Proof:
    """Score every way by name, of which `NO_PROMPT` comes first and `THIS_PROMPT` is one.

    `strata` says what each hole asks for (`tuning.strata`). `progress` hears the share done.
    `others` is where the ways with retrieval find code; the holes must then have both forms.
    `context` is what the holes were built with.
    """
    lines = [hole for hole in holes if hole.hole.kind in LINE_KINDS][:DECODED_LINES]
    parts = _parts(holes, strata)
    arms: list[EvaluationResult] = []
    measured: dict[str, NDArray[np.float64]] = {}
    for done, (name, way) in enumerate(ways.items()):
        progress(done / len(ways))
        session = way.base.open(way.prompt)
        examples = [(way.retrieval and hole.retrieved) or hole.example for hole in holes]
        nats = measured[name] = total_nats(session.score(examples))
        progress((done + 0.5) / len(ways))
        arms.append(
            EvaluationResult(
                name,
                bits_per_byte(nats, holes),
                paired_gain(measured[NO_PROMPT], nats, holes, seed),
                decoded_scores(
                    session,
                    lines,
                    others if way.retrieval else None,
                    context,
                ),
                {
                    part: bits_per_byte(nats[rows], [holes[row] for row in rows])
                    for part, rows in parts.items()
                },
            )
        )
    progress(1.0)
    gain = next(arm.gain for arm in arms if arm.name == THIS_PROMPT)
    over_retrieval = None
    if RETRIEVAL in measured and BOTH in measured:
        over_retrieval = paired_gain(measured[RETRIEVAL], measured[BOTH], holes, seed)
    return Proof(
        files=len({hole.file.path for hole in holes}),
        holes=len(holes),
        decoded_lines=len(lines),
        arms=tuple(arms),
        gain=gain,
        over_retrieval=over_retrieval,
        specificity=_specificity(gain, [arm.gain for arm in arms if arm.name.startswith(OTHER)]),
        strata={part: len(rows) for part, rows in parts.items()},
    )


def _parts(holes: Sequence[HeldOutHole], strata: Sequence[str]) -> dict[str, list[int]]:
    parts: dict[str, list[int]] = {}
    parts |= {name: [row for row, one in enumerate(strata) if one == name] for name in STRATA}
    parts["newest"] = [row for row, hole in enumerate(holes) if hole.newest]
    return {name: rows for name, rows in parts.items() if rows}


def _specificity(own: Gain, others: Sequence[Gain]) -> float | None:
    if not others or own.mean <= 0:
        return None
    return (own.mean - fmean(other.mean for other in others)) / own.mean
