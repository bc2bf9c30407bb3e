"""Prove a prompt: the same held-out holes served without it, with it, and with controls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from code_context.context import ContextConfig
from code_model.engine import Engine
from code_model.loading import BaseModel
from code_model.soft_prompt import prefix_kv
from prompts.file import PromptFile
from tuning.corpus import SourceFile
from tuning.evaluate import (
    LINE_KINDS,
    DecodedScores,
    Gain,
    bits_per_byte,
    decoded_scores,
    middle_nats,
    paired_gain,
)
from tuning.examples import HeldOutHole, held_out_holes

NO_PROMPT = "no prompt"
THIS_PROMPT = "this prompt"
DECODED_LINES = 48


@dataclass(frozen=True)
class Arm:
    """Scores of one way to serve the held-out holes."""

    name: str
    bits_per_byte: float
    decoded: DecodedScores


@dataclass(frozen=True)
class Proof:
    """Scores on held-out files; `gain` compares this prompt with no prompt."""

    files: int
    holes: int
    decoded_lines: int
    arms: tuple[Arm, ...]
    gain: Gain

    def arm(self, name: str) -> Arm:
        """The arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)

    def to_json(self) -> dict[str, Any]:
        """Figures without samples of code: this goes into the prompt file."""
        return {
            "files": self.files,
            "holes": self.holes,
            "decoded_lines": self.decoded_lines,
            "gain": round(self.gain.mean, 5),
            # no interval comes from a single file
            "gain_low": round(self.gain.low, 5) if self.files > 1 else None,
            "gain_high": round(self.gain.high, 5) if self.files > 1 else None,
            "proven": self.gain.proven,
            "arms": {
                arm.name: {
                    "bits_per_byte": round(arm.bits_per_byte, 5),
                    "exact_match": round(arm.decoded.exact_match, 5),
                    "edit_similarity": round(arm.decoded.edit_similarity, 5),
                }
                for arm in self.arms
            },
        }


def test_holes(
    base: BaseModel, files: Sequence[SourceFile], *, room: int, count: int, seed: int
) -> list[HeldOutHole]:
    """The holes of the proof. Another seed than the validation's, so that nothing is shared."""
    return held_out_holes(
        base, files, config=ContextConfig(), room=room, count=count, seed=seed + 1
    )


def prove(
    base: BaseModel,
    holes: Sequence[HeldOutHole],
    prompts: Mapping[str, PromptFile | None],
    seed: int,
    progress: Callable[[float], None],
) -> Proof:
    """Score every prompt of `prompts` by name, which must hold `NO_PROMPT` and `THIS_PROMPT`.

    `progress` hears the share done.
    """
    lines = [hole for hole in holes if hole.hole.kind in LINE_KINDS][:DECODED_LINES]
    steps = 2 * len(prompts)
    nats, arms = {}, []
    for done, (name, prompt) in enumerate(prompts.items()):
        progress(2 * done / steps)
        prefix = prefix_kv(base, prompt)
        nats[name] = middle_nats(base.model, prefix, [hole.example for hole in holes])
        progress((2 * done + 1) / steps)
        decoded = decoded_scores(Engine(base, prompt), lines)
        arms.append(Arm(name, bits_per_byte(nats[name], holes), decoded))
    progress(1.0)
    return Proof(
        files=len({hole.file.path for hole in holes}),
        holes=len(holes),
        decoded_lines=len(lines),
        arms=tuple(arms),
        gain=paired_gain(nats[NO_PROMPT], nats[THIS_PROMPT], holes, seed),
    )
