"""Canaries: plant secrets in the files, repeat the run, and measure whether it memorised them.

Carlini et al., "The Secret Sharer" (arXiv 1802.08232): a canary is a random text in a fixed form.
Its exposure measures how much likelier it is to the tuned model than other texts of the same form.
"""

import math
import random
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from code_model.language_model import TunableModel
from prompts.file import PromptFile
from tuning.corpus import SourceFile
from tuning.evaluate import total_nats
from tuning.examples import Example
from tuning.job import Job
from tuning.recorded import RecordedRecipe, recorded_recipe
from tuning.run import initialise
from tuning.train import retrain

CANARIES = 8
ALTERNATIVES = 127
"""Texts of the same form that each canary is ranked among; exposure is at most 7 bits."""
SECRET_CHARACTERS = 16
CONTEXT_CHARACTERS = 400
SIGNIFICANT = 0.01

_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True)
class Canary:
    """A made-up secret in a file; `before` is the file's text up to it, with its assignment."""

    path: str
    before: str
    secret: str


@dataclass(frozen=True)
class CanaryScores:
    """Exposure of each canary in bits, with the prompt and without: log2(texts / rank)."""

    exposures: tuple[float, ...]
    exposures_without: tuple[float, ...]

    @property
    def p_value(self) -> float:
        """The probability that K texts which were not planted rank as high: then the sum of
        -ln(rank / texts) has at most the distribution Gamma(K, 1)."""
        total = math.log(2) * sum(self.exposures)
        terms = (total**k / math.factorial(k) for k in range(len(self.exposures)))
        return math.exp(-total) * sum(terms)

    @property
    def memorised(self) -> bool:
        """Whether the prompt memorised canaries."""
        return self.p_value < SIGNIFICANT


def plant(
    files: Sequence[SourceFile], seed: int, copies: int = 1
) -> tuple[list[SourceFile], list[Canary]]:
    """The files with one canary each in `CANARIES` of them, on its own line, `copies` times."""
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


def retrained_prefix(job: Job, recipe: RecordedRecipe, progress: Callable[[float], None]) -> Any:
    """The prefix that a recorded run makes of the job's files: the same steps, the same precision.

    `progress` is called with the share done.
    """
    config = replace(job.config, weight_decay=job.weight_decay, steps=recipe.total_steps)
    embeddings = retrain(
        job.model,
        initialise(job, lambda done: None),
        job.examples,
        config,
        n_steps=recipe.steps,
        bfloat16=recipe.bfloat16,
        progress=progress,
    )
    with torch.no_grad():
        return job.model.prefix_of(job.pruned(embeddings), config.form)


def exposures_of(
    model: TunableModel, prefix: Any, canaries: Sequence[Canary], seed: int
) -> tuple[float, ...]:
    """Exposure of each canary behind the prefix, in bits."""
    rng = random.Random(f"alternatives/{seed}")
    encoder = model.encoder
    bits = []
    for canary in canaries:
        texts = [canary.secret] + [
            "".join(rng.choices(_ALPHABET, k=SECRET_CHARACTERS)) for _ in range(ALTERNATIVES)
        ]
        context = encoder.encode_file(canary.path, canary.before[-CONTEXT_CHARACTERS:])
        examples = []
        for text in texts:
            secret = model.tokenizer.encode(f'{text}"')
            examples.append(Example(context + secret, len(secret)))
        nats = total_nats(model.score(prefix, examples))
        rank = int((nats <= nats[0]).sum())
        bits.append(math.log2(len(texts) / rank))
    return tuple(bits)


def canary_scores(job: Job, prompt: PromptFile, progress: Callable[[float], None]) -> CanaryScores:
    """Plant canaries in a job's files, repeat the run that made `prompt`, and measure exposure.

    The parent of a refreshed prompt is not available, so the refresh starts from the prompt itself.
    """
    recipe = recorded_recipe(prompt.manifest)
    planted, canaries = plant(job.split.train, recipe.seed)
    job = replace(job, split=replace(job.split, train=tuple(planted)))
    if prompt.manifest.lineage:
        job = replace(job, present=prompt)
    prefix = retrained_prefix(job, recipe, progress)
    without = exposures_of(job.model, job.model.bare_prefix(), canaries, recipe.seed)
    return CanaryScores(exposures_of(job.model, prefix, canaries, recipe.seed), without)
