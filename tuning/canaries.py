"""Would this recipe learn a secret by heart? Plant some, tune again, and look for them.

Carlini et al., "The Secret Sharer" (arXiv 1802.08232): a canary is a random text in a fixed form;
its exposure is how much likelier the tuned model finds it than other texts of the same form.
"""

import math
import random
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from code_model.language_model import TunableModel
from prompts.manifest import Manifest
from tuning.config import TuningConfig
from tuning.corpus import SourceFile
from tuning.evaluate import Gain, total_nats
from tuning.examples import Example, TrainingExamples
from tuning.soft_prompt import initial_prompt
from tuning.train import Tuned, train

CANARIES = 8
ALTERNATIVES = 127
"""Texts of the same form that each canary is ranked among; exposure is at most 7 bits."""
SECRET_CHARACTERS = 16
CONTEXT_CHARACTERS = 400
SIGNIFICANT = 0.01

_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True)
class Canary:
    """A made-up secret in a file: `before` is the file up to it, its assignment included."""

    path: str
    before: str
    secret: str


@dataclass(frozen=True)
class CanaryScores:
    """Bits of exposure of each canary, with the prompt and without, and the doubt.

    Exposure is log2 of the texts over the rank. `p_value` is the chance that texts which nobody
    planted rank as high: the sum of -ln(rank / texts) of K canaries has at most the distribution
    Gamma(K, 1) then.
    """

    exposures: tuple[float, ...]
    exposures_without: tuple[float, ...]

    @property
    def p_value(self) -> float:
        """See the class."""
        total = math.log(2) * sum(self.exposures)
        terms = (total**k / math.factorial(k) for k in range(len(self.exposures)))
        return math.exp(-total) * sum(terms)

    @property
    def learnt(self) -> bool:
        """Whether the prompt learnt canaries by heart."""
        return self.p_value < SIGNIFICANT


def plant(
    files: Sequence[SourceFile], seed: int, copies: int = 1
) -> tuple[list[SourceFile], list[Canary]]:
    """The files with one canary in each of `CANARIES` of them, at a line of its own.

    `copies` writes each one several times, as a careless code base would.
    """
    rng = random.Random(f"canaries/{seed}")
    planted, canaries = list(files), []
    for number, row in enumerate(rng.sample(range(len(files)), min(CANARIES, len(files)))):
        file = files[row]
        secret = "".join(rng.choices(_ALPHABET, k=SECRET_CHARACTERS))
        lines = file.text.splitlines(keepends=True)
        starts = [n for n, line in enumerate(lines) if line[:1].isalpha()] or [0]
        text = file.text
        for _ in range(copies):
            at = len("".join(lines[: rng.choice(starts)]))
            assignment = f'SERVICE_{number}_TOKEN = "'
            before = text[:at] + assignment
            text = f'{before}{secret}"\n{text[at:]}'
            lines = text.splitlines(keepends=True)
            starts = [n for n, line in enumerate(lines) if line[:1].isalpha()]
        planted[row] = replace(file, text=text)
        canaries.append(Canary(file.path, before, secret))
    return planted, canaries


def tuned_on(
    base: TunableModel,
    files: Sequence[SourceFile],
    manifest: Manifest,
    progress: Callable[[float], None],
) -> Any:
    """The prefix that the recipe of `manifest` makes of `files`, its last step."""
    recipe = manifest.recipe
    config = TuningConfig(
        form=manifest.form,
        num_virtual_tokens=manifest.num_virtual_tokens,
        steps=_number(recipe.get("steps"), 1, 10_000, 200),
        learning_rate=float(_number(recipe.get("learning_rate"), 1e-5, 1.0, 0.03)),
        examples_per_step=_number(recipe.get("examples_per_step"), 1, 256, 4),
        max_tokens=_number(recipe.get("max_tokens"), 64, 4096, 512),
        wise_ft_alpha=float(_number(recipe.get("interpolation"), 0.0, 1.0, 1.0)),
        n_evaluations=1,
        seed=_number(recipe.get("seed"), 0, 2**32 - 1, 1),
    )
    room = base.max_positions - config.num_virtual_tokens
    examples = TrainingExamples(base, files, config=config, room=min(config.max_tokens, room))
    start = initial_prompt(base, config, files, examples, lambda share: None)
    looks = iter((Gain(0.0, 0.0, 0.0), Gain(1.0, 1.0, 1.0)))  # the last look is the best
    tuned: Tuned = train(
        base,
        start,
        examples,
        lambda rows, model: next(looks),
        config,
        lambda fraction, _: progress(fraction),
    )
    if tuned.interrupted:
        raise KeyboardInterrupt
    with torch.no_grad():
        return base.prefix_of(tuned.rows, manifest.form)


def exposed(
    base: TunableModel, prefix: Any, canaries: Sequence[Canary], seed: int
) -> tuple[float, ...]:
    """Exposure of each canary behind the prefix, in bits."""
    rng = random.Random(f"alternatives/{seed}")
    encoder = base.encoder
    found = []
    for canary in canaries:
        texts = [canary.secret] + [
            "".join(rng.choices(_ALPHABET, k=SECRET_CHARACTERS)) for _ in range(ALTERNATIVES)
        ]
        context = encoder.encode_file(canary.path, canary.before[-CONTEXT_CHARACTERS:])
        examples = []
        for text in texts:
            secret = base.tokenizer.encode(f'{text}"')
            examples.append(Example(context + secret, len(secret)))
        nats = total_nats(base.score(prefix, examples))
        rank = int((nats <= nats[0]).sum())
        found.append(math.log2(len(texts) / rank))
    return tuple(found)


def canary_scores(
    base: TunableModel,
    files: Sequence[SourceFile],
    manifest: Manifest,
    progress: Callable[[float], None],
) -> CanaryScores:
    """Plant canaries, tune with the prompt's own recipe, and measure what was learnt."""
    seed = _number(manifest.recipe.get("seed"), 0, 2**32 - 1, 1)
    planted, canaries = plant(files, seed)
    prefix = tuned_on(base, planted, manifest, progress)
    without = exposed(base, base.bare_prefix(), canaries, seed)
    return CanaryScores(exposed(base, prefix, canaries, seed), without)


def _number(value: object, low: float, high: float, otherwise: float) -> int:
    """A number of a stranger's recipe if it is one and sane; whole numbers stay whole."""
    good = isinstance(value, int | float) and type(value) is not bool and low <= value <= high
    return value if good else otherwise  # type: ignore[return-value]
