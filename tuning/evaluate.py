"""What a prompt is worth on files it has not seen: bits per byte, decoded text, and the doubt."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rapidfuzz import fuzz
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from code_model.completion import complete
from code_model.engine import Engine
from code_model.llama import Llama
from tuning.examples import Example, HeldOutHole, middle_of, without_middle

BATCH = 8
RESAMPLES = 4_000
LINE_KINDS = ("line", "line_end")


@dataclass(frozen=True)
class Gain:
    """Share of the bits saved against no prompt, with its 95 % interval over files."""

    mean: float
    low: float
    high: float

    @property
    def proven(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0.0


@dataclass(frozen=True)
class Decoded:
    """One completion beside what the file says."""

    path: str
    line: int
    left: str
    expected: str
    text: str


@dataclass(frozen=True)
class DecodedScores:
    """Share of exact matches and mean edit similarity (0 to 1) of first lines."""

    exact_match: float
    edit_similarity: float
    samples: tuple[Decoded, ...]


def collated(examples: Sequence[Example]) -> Tensor:
    """Ids (B, T), padded at the end; the padding is never scored."""
    return pad_sequence([torch.tensor(one.ids) for one in examples], batch_first=True)


@torch.inference_mode()
def middle_nats(model: Llama, prefix: Tensor, examples: Sequence[Example]) -> NDArray[np.float64]:
    """Nats of each example's middle behind the prefix (L, 2, G, P, D), in serving's float32."""
    nats = np.zeros(len(examples))
    order = sorted(range(len(examples)), key=lambda index: len(examples[index].ids))
    for first in range(0, len(order), BATCH):
        chosen = order[first : first + BATCH]
        batch = [examples[index] for index in chosen]
        hidden = model(collated(batch)[:, :-1], prefix)
        for row, (index, one) in enumerate(zip(chosen, batch, strict=True)):
            end = len(one.ids) - 1
            logits = model.logits(hidden[row, end - one.scored : end])
            targets = torch.tensor(one.ids[-one.scored :])
            nats[index] = F.cross_entropy(logits, targets, reduction="sum").item()
    return nats


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
    for hole, base, prompt in zip(holes, without, with_prompt, strict=True):
        sums[row[hole.file.path]] += (base, prompt)
    total = sums.sum(axis=0)
    mean = float(1 - total[1] / total[0])
    if len(paths) < 2:
        return Gain(mean, -math.inf, math.inf)
    rng = np.random.default_rng(seed)
    drawn = sums[rng.integers(len(paths), size=(RESAMPLES, len(paths)))].sum(axis=1)
    low, high = np.percentile(1 - drawn[:, 1] / drawn[:, 0], (2.5, 97.5))
    return Gain(mean, float(low), float(high))


def decoded_scores(engine: Engine, holes: Sequence[HeldOutHole]) -> DecodedScores:
    """Complete the holes of whole and half lines as the editor would, and compare first lines."""
    samples = []
    for hole in holes:
        if hole.hole.kind not in LINE_KINDS:
            continue
        text = without_middle(hole.file, hole.hole)
        start = hole.hole.start
        answer = complete(engine, text, hole.file.path, start, explicit=True)
        samples.append(
            Decoded(
                path=hole.file.path,
                line=text.count("\n", 0, start) + 1,
                left=text[text.rfind("\n", 0, start) + 1 : start],
                expected=_first_line(middle_of(hole.file, hole.hole)),
                text=_first_line(answer.text),
            )
        )
    count = max(1, len(samples))
    return DecodedScores(
        exact_match=sum(one.text == one.expected for one in samples) / count,
        edit_similarity=sum(fuzz.ratio(one.text, one.expected) for one in samples) / 100 / count,
        samples=tuple(samples),
    )


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0].rstrip() if lines else ""
