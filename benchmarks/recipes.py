"""Recipes compared by what people see: characters saved where equally many are wrong.

    python -m benchmarks.recipes [--packages celery,peft] [--recipes NAME;NAME] [--steps 300]
        [--places 400] [--baseline NAME]

Tunes each package by each recipe for equally many steps, and completes at the same places of unseen
files, with retrieval as in the editor. LoRA and the tuning of all weights show what can be reached
behind this model. Prints a table and writes `benchmarks/results/recipes.json`; what a recipe showed
is kept in the cache, and measured once.
"""

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.acceptance import (
    ALL,
    Package,
    compare,
    comparison_table,
    pooled,
    print_stage,
)
from benchmarks.repositories import CACHE, repositories
from benchmarks.tuned_prompts import tuned_prompt, with_cross_entropy
from code_model.language_model import ScoredIds, TunableModel
from code_model.loading import load_tunable_model
from prompts.file import PromptFile
from tuning.acceptance import Replay
from tuning.config import TuningConfig
from tuning.corpus import collect
from tuning.job import new_job
from tuning.lora import train_weights, tune_lora, weights_of
from tuning.prompt_optimiser import Examples
from tuning.proof import RETRIEVAL, Condition
from tuning.run import initialise

RESULTS = Path("benchmarks/results/recipes.json")
RATE_OF_ALL_WEIGHTS = 2e-4  # of AdamW; not searched
Recipe = Callable[[TunableModel, Path, TuningConfig, Path], Condition]


class ExpectedAcceptance:
    """A model whose loss is the expected number of characters that a cursor's line gets right.

    From a cursor before token s, a greedy decode is right up to token k of the line with about the
    product of their probabilities p. The sum of the characters over all s and k has, in log p of
    token i, the gradient p_i * before_i * after_i: `before` sums the products that end before i,
    `after` the characters that follow, times theirs. Cross-entropy with these weights has the same
    gradient. They are scaled so that their sum is that of the weights that are given.
    """

    def __init__(self, model: TunableModel) -> None:
        self._model = model
        self._characters: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def for_gradients(self, *, bfloat16: bool) -> "ExpectedAcceptance":
        """As of the model."""
        return ExpectedAcceptance(self._model.for_gradients(bfloat16=bfloat16))

    def loss(
        self, prefix: Any, sequences: Sequence[Sequence[int]], weights: Sequence[Sequence[float]]
    ) -> Any:
        """As of the model, with the weights described above."""
        whole = [ScoredIds(ids, len(ids) - 1) for ids in sequences]
        scores = self._model.score(prefix, whole)
        of_lines = [
            [one * other for one, other in zip(given, self._weights(ids[1:], nats), strict=True)]
            for ids, nats, given in zip(sequences, scores, weights, strict=True)
        ]
        scale = sum(map(sum, weights)) / max(1e-6, sum(map(sum, of_lines)))
        scaled = [[scale * weight for weight in each] for each in of_lines]
        return self._model.loss(prefix, sequences, scaled)

    def _weights(self, ids: Sequence[int], nats: Sequence[float]) -> list[float]:
        texts = [self._text(each) for each in ids]
        chances = [math.exp(-each) for each in nats]
        before, after = [1.0] * len(ids), [float(len(text)) for text in texts]
        for i in range(1, len(ids)):
            if "\n" not in texts[i - 1]:
                before[i] += chances[i - 1] * before[i - 1]
        for i in range(len(ids) - 2, -1, -1):
            if "\n" not in texts[i]:
                after[i] += chances[i + 1] * after[i + 1]
        return [p * b * a for p, b, a in zip(chances, before, after, strict=True)]

    def _text(self, token: int) -> str:
        if token not in self._characters:
            self._characters[token] = self._model.tokenizer.decode([token])
        return self._characters[token]


def by_prompt(
    objective: Callable[[TunableModel], Any] = with_cross_entropy, **changes: Any
) -> Recipe:
    """A prompt, tuned with changes to the recipe or with another loss."""

    def tune(model: TunableModel, folder: Path, config: TuningConfig, cache: Path) -> Condition:
        changed = replace(config, **changes)
        prompt = tuned_prompt(model, folder, changed, cache, objective=objective)
        return Condition(model, prompt, retrieval=True)

    return tune


def by_part_of_the_way(wise_ft_alpha: float) -> Recipe:
    """The recipe's prompt, going on to this share of the mean offset from its start."""

    def tune(model: TunableModel, folder: Path, config: TuningConfig, cache: Path) -> Condition:
        whole = tuned_prompt(model, folder, replace(config, keep_ratio=1.0), cache)
        job = new_job(model, collect(folder), config)
        start = initialise(job, lambda done: None).start
        offsets = torch.from_numpy(whole.embeddings) - start
        kept = job.pruned(start + wise_ft_alpha / config.wise_ft_alpha * offsets)
        manifest = replace(whole.manifest, num_virtual_tokens=len(kept))
        return Condition(model, PromptFile(manifest, kept.numpy()), retrieval=True)

    return tune


def tune_all_weights(model: TunableModel, examples: Examples, config: TuningConfig) -> TunableModel:
    """A copy of the model, all of whose weights are tuned, with the data and schedule of LoRA."""
    weights = weights_of(model)
    weights.requires_grad_(True)
    train_weights(weights, model, examples, config, RATE_OF_ALL_WEIGHTS)
    return model.with_weights(weights.state_dict())


def by_weights(
    tune_weights: Callable[[TunableModel, Examples, TuningConfig], TunableModel],
) -> Recipe:
    """Other weights, tuned with the same examples."""

    def tune(model: TunableModel, folder: Path, config: TuningConfig, cache: Path) -> Condition:
        examples = new_job(model, collect(folder), config).examples
        return Condition(tune_weights(model, examples, config), None, retrieval=True)

    return tune


RECIPES: dict[str, Recipe] = {
    "the recipe": by_prompt(),
    "LoRA": by_weights(tune_lora),
    "all weights": by_weights(tune_all_weights),
    "all of the way": by_part_of_the_way(1.0),
    "two fifths of the way": by_part_of_the_way(0.4),
    "retrieved code always": by_prompt(retrieved=1.0, causal_fraction=0.0),
    "expected acceptance": by_prompt(ExpectedAcceptance),
    "128 virtual tokens": by_prompt(num_virtual_tokens=128),
    "512 virtual tokens": by_prompt(num_virtual_tokens=512),
    "all virtual tokens": by_prompt(keep_ratio=1.0),
    "a quarter of the virtual tokens": by_prompt(keep_ratio=0.25),
}
"""Each makes what then completes: of a model, a repository, the number of steps and a cache."""


def main() -> None:
    """Tune and measure what the cache has not, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--packages", default="celery,peft")
    parser.add_argument("--recipes", default=";".join(RECIPES))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--places", type=int, default=400)
    parser.add_argument("--baseline", default=RETRIEVAL, help="what the others are compared with")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    model = load_tunable_model()
    names, recipes = options.packages.split(","), options.recipes.split(";")
    if options.baseline != RETRIEVAL:
        recipes = list(dict.fromkeys((options.baseline, *recipes)))
    folders = repositories(options.cache, names)
    config = TuningConfig(steps=options.steps)
    served = f"{model.identity} {model.runtime}"
    packages = {
        name: Package.of(folders[name], options.places, None, options.cache) for name in names
    }
    replays: dict[str, dict[str, Replay]] = {
        name: {RETRIEVAL: package.replay(f"{served}  True", Condition(model, None, retrieval=True))}
        for name, package in packages.items()
    }
    for recipe in recipes:
        for name, package in packages.items():
            print_stage(name, recipe)

            def made(recipe: str = recipe, name: str = name) -> Condition:
                return RECIPES[recipe](model, folders[name], config, options.cache)

            label = f"{served} recipe {recipe} {config}"
            replays[name][recipe] = package.replay(label, made)
        together = {**replays, ALL: pooled(replays)}
        results = {
            name: compare(each, options.baseline, model.show_thresholds)
            for name, each in together.items()
            if options.baseline in each
        }
        recorded = {"steps": options.steps, "runtime": asdict(model.runtime), "packages": results}
        text = json.dumps(recorded, indent=1, sort_keys=True) + "\n"
        options.results.write_text(text, encoding="utf-8")
        title = f"Suggestions, and characters saved over {options.baseline} at equal wrong"
        Console(width=140).print(comparison_table(title, results))


if __name__ == "__main__":
    main()
