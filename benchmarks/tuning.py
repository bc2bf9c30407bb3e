"""What tuning gains on packages that the default model has never seen, beside its controls.

    python -m benchmarks.tuning [--minutes 10] [--packages celery,networkx] [--lora] [--cache DIR]
    python -m benchmarks.tuning --controls [--minutes 4]

Every package of `pretraining/packages.toml` that was held out whole is fetched with pip as its
source distribution, which is the repository with its tests, and tuned on. Each prompt is proved on
its package's unseen files beside no prompt, prompts of two other packages, a generic one,
retrieval, both, and with `--lora` LoRA by PEFT at equal wall time. Also measured are bits per byte
of whole unseen files, left to right, and what the prompt costs in another package, used there
always or only where it fits the file, as the server does. Results are kept in DIR after every step;
run again, it goes on from there. A package that is through takes its place in
`benchmarks/results/tuning.json`, which is replaced when all are through and it was of another
model or time. `--controls` tunes the controls anew and puts them into the package: that is to be
done once for every new default model, before anything else.
"""

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch
from rich.console import Console
from rich.table import Table

from code_model.decoder.kv_cache import PrefixKV
from code_model.decoder.model import DecoderModel
from code_model.fit import gain_on, misfit
from code_model.loading import load_model
from pretraining.corpus import packages
from prompts.file import SUFFIX, PromptFile, read_prompt, write_prompt
from tuning import controls, generic
from tuning.config import TuningConfig
from tuning.corpus import SourceFile, collect
from tuning.evaluate import paired_gain, total_nats
from tuning.examples import Example, HeldOutHole, without_middle
from tuning.job import new_job, recorded_job
from tuning.lora import tune_lora
from tuning.progress import Progress
from tuning.run import tune

CONTROLS = {"networkx": "BSD-3-Clause", "rich": "MIT"}
UNRELATED = ("rich", "httpx")  # a repository that is not the prompt's own: the first other one
GENERIC_LICENCE = "PSF-2.0"
WINDOW_TOKENS = 512
WINDOWS_PER_FILE = 4
LORA_RATES = (5e-4, 2e-3, 8e-3)
EARLY_SECONDS = 180.0
RESULTS = Path("benchmarks/results/tuning.json")
# outside of every repository: what git ignores there is not read
CACHE = platformdirs.user_cache_path("attune", appauthor=False) / "benchmarks"


def repositories(cache: Path, names: Sequence[str]) -> dict[str, Path]:
    """Folders with the packages' repositories, tests included, as their source distributions have
    them; fetched with pip if they are not there yet."""
    held_out = packages()[1]
    found = {}
    for name in names:
        folder = cache / "repositories" / name
        if not folder.is_dir():
            archives = cache / "archives" / name
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
            source = ["--no-binary", name, "-d", str(archives), f"{name}=={held_out[name]}"]
            subprocess.run([*command, *source], check=True)
            fresh = folder.with_name(folder.name + ".part")
            shutil.rmtree(fresh, ignore_errors=True)
            with tarfile.open(next(archives.glob("*.tar.gz"))) as archive:
                archive.extractall(fresh, filter="data")
            (inside,) = fresh.iterdir()
            inside.rename(folder)
            fresh.rmdir()
        found[name] = folder
    folder = cache / "repositories" / controls.GENERIC_NAME
    folder.mkdir(parents=True, exist_ok=True)
    for file in generic.sample():
        (folder / file.path).write_text(file.text, encoding="utf-8")
    return found | {controls.GENERIC_NAME: folder}


def tuned_on(
    base: DecoderModel, repository: Path, config: TuningConfig, against: Sequence[PromptFile] = ()
) -> dict[str, Any]:
    """Tune on a repository: the prompt's file, the curve of its validation gain, and its proof with
    bits per byte of whole unseen files, left to right, beside it."""
    read = collect(repository)
    report = tune(base, read, None, config, _silent, against=against)
    if report.written is None or report.proof is None:
        raise SystemExit(f"no prompt was written for {repository}")
    gains = [(each.seconds, each.gain.mean) for each in report.evaluations]
    early = [gain for seconds, gain in gains if seconds <= EARLY_SECONDS]
    best = max(gain for _, gain in gains)
    prompt = read_prompt(report.written)
    test = recorded_job(base, read, prompt.manifest).split.test
    ways = (("no prompt", None), ("this prompt", prompt))
    whole = {name: round(files_bits_per_byte(base, one, test), 5) for name, one in ways}
    return {
        "prompt": str(report.written),
        "bytes": report.written.stat().st_size,
        "machine": _machine(prompt),
        "steps": report.steps,
        "seconds": round(report.evaluations[-1].seconds, 1),
        "curve": [[round(seconds, 1), round(gain, 5)] for seconds, gain in gains],
        "early_share": round(max(early) / best, 3) if best > 0 else None,
        "files": report.files,
        "proof": report.proof.to_json(),
        "files_bits_per_byte": whole,
        "files_gain": round(1 - whole["this prompt"] / whole["no prompt"], 5),
    }


def _machine(prompt: PromptFile) -> str:
    """What a prompt was tuned on: the processor, its widest vectors, and the precision."""
    precision = "bfloat16" if prompt.manifest.recipe["bfloat16"] else "float32"
    name = torch.cpu.get_capabilities()["cpu_name"]
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}, {precision}"


def make_controls(base: DecoderModel, found: dict[str, Path], config: TuningConfig) -> None:
    """Tune the prompts that every proof compares with, and put them into the package."""
    for old in controls.FOLDER.glob(f"*{SUFFIX}"):
        old.unlink()
    controls.FOLDER.mkdir(exist_ok=True)
    for name, licence in {**CONTROLS, controls.GENERIC_NAME: GENERIC_LICENCE}.items():
        read = collect(found[name])
        written = tune(base, read, None, config, _silent).written
        if written is None:
            raise SystemExit(f"no prompt was written for {name}")
        prompt = read_prompt(written)
        licensed = replace(prompt, manifest=replace(prompt.manifest, licence=licence))
        write_prompt(controls.FOLDER / f"{name}{SUFFIX}", licensed)


def saved(
    base: DecoderModel, prefix: PrefixKV, holes: Sequence[HeldOutHole], examples: Sequence[Example]
) -> list[float]:
    """The share of the holes' bits that a prefix saves, with its 95 % interval over files."""
    nats = [total_nats(base.score(each, examples)) for each in (base.bare_prefix(), prefix)]
    gain = paired_gain(*nats, holes, TuningConfig().seed)
    return [round(one, 5) for one in (gain.mean, gain.low, gain.high)]


def as_served(
    base: DecoderModel, prompt: PromptFile, holes: Sequence[HeldOutHole]
) -> dict[str, Any]:
    """What a prompt saves on holes, always used and as the server uses it, which leaves it out
    where it does not fit the file; the share of the holes where it is used, and what the files'
    own text says."""
    examples = [hole.example for hole in holes]
    without, behind = (total_nats(base.open(one).score(examples)) for one in (None, prompt))
    texts = [
        gain_on(base, prompt, hole.file.path, without_middle(hole.file, hole.hole))
        for hole in holes
    ]
    used = np.array([misfit(prompt, gain) is None for gain in texts])
    found: dict[str, Any] = {
        "used": round(float(used.mean()), 3),
        "texts": [None if gain is None else round(gain, 4) for gain in texts],
    }
    for name, nats in (("always", behind), ("served", np.where(used, behind, without))):
        gain = paired_gain(without, nats, holes, TuningConfig().seed)
        found[name] = [round(one, 5) for one in (gain.mean, gain.low, gain.high)]
    return found


def unrelated(base: DecoderModel, repository: Path, prompt: PromptFile) -> dict[str, Any]:
    """What a prompt saves on the unseen files of a repository that it is not for."""
    job = new_job(base, collect(repository), TuningConfig())
    return as_served(base, prompt, job.test_holes())


def own(base: DecoderModel, repository: Path, prompt: PromptFile) -> dict[str, Any]:
    """The same on the unseen files of its own."""
    job = recorded_job(base, collect(repository), prompt.manifest)
    return as_served(base, prompt, job.test_holes())


def lora_on(
    base: DecoderModel, repository: Path, elsewhere: Path, config: TuningConfig
) -> dict[str, Any]:
    """What LoRA saves, tuned for the time of the prompt: on the validation files, on the unseen
    files and on those of `elsewhere`.

    Each of `LORA_RATES` gets a third of that time first, and the validation files choose among
    them; the prompt has one rate.
    """
    job = new_job(base, collect(repository), config)
    sides = {
        "validation": job.validation_holes(),
        "gain": job.test_holes(),
        "unrelated": new_job(base, collect(elsewhere), TuningConfig()).test_holes(),
    }
    none = base.bare_prefix()

    def on(side: str, tuned: DecoderModel) -> float:
        examples = [hole.example for hole in sides[side]]
        before, after = (total_nats(one.score(none, examples)).sum() for one in (base, tuned))
        return round(1 - float(after / before), 5)

    third = replace(config, minutes=config.minutes / 3)
    tried = {
        rate: on("validation", tune_lora(base, job.examples, third, learning_rate=rate))
        for rate in LORA_RATES
    }
    best = max(tried, key=tried.__getitem__)
    tuned = tune_lora(base, job.examples, config, learning_rate=best)
    measured: dict[str, Any] = {side: on(side, tuned) for side in sides}
    return {"rate": best, "tried": {f"{rate:g}": gain for rate, gain in tried.items()}, **measured}


def files_bits_per_byte(
    base: DecoderModel, prompt: PromptFile | None, files: Sequence[SourceFile]
) -> float:
    """Bits per byte of the beginnings of whole files, left to right, in windows."""
    windows, size = [], 0
    for file in files:
        head = base.encoder.encode_file(file.path, "")
        ids = base.tokenizer.encode(file.text)
        for start in range(0, min(len(ids), WINDOWS_PER_FILE * WINDOW_TOKENS), WINDOW_TOKENS):
            window = ids[start : start + WINDOW_TOKENS]
            windows.append(Example(head + window, len(window)))
            size += len(base.tokenizer.decode(window).encode())
    nats = total_nats(base.open(prompt).score(windows))
    return float(nats.sum()) / math.log(2) / size


def _silent(progress: Progress) -> None:
    """A benchmark shows its own progress."""


def main() -> None:
    """Run what is not in the results yet, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--packages", default=",".join(packages()[1]))
    parser.add_argument("--lora", action="store_true")
    parser.add_argument("--controls", action="store_true")
    parser.add_argument("--cache", type=Path, default=CACHE)
    given = parser.parse_args()
    names = list(CONTROLS) if given.controls else given.packages.split(",")
    console = Console(stderr=True)
    base = load_model()
    found = repositories(given.cache, [*names, *UNRELATED])
    if given.controls:
        make_controls(base, found, TuningConfig(minutes=given.minutes))
        return
    run = f"{base.model_fingerprint[:12]}-{given.minutes:g}"
    path = given.cache / f"results-{run}.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    config = TuningConfig(minutes=given.minutes)

    def keep(name: str, key: str, make: Any) -> None:
        entry = results.setdefault(name, {})
        if key in entry:
            return
        began = time.monotonic()
        entry[key] = make()
        path.write_text(json.dumps(results, indent=1))
        console.print(f"{name}: {key} in {time.monotonic() - began:.0f} s", highlight=False)

    for name in names:
        # a control is compared with a package of the run in place of itself
        others = [one for one in results if one != name and name in CONTROLS][:1]
        against = [read_prompt(Path(results[one]["tuned"]["prompt"])) for one in others]
        keep(
            name,
            "tuned",
            lambda name=name, against=against: tuned_on(base, found[name], config, against),
        )
        prompt = read_prompt(Path(results[name]["tuned"]["prompt"]))
        elsewhere = next(one for one in UNRELATED if one != name)
        keep(
            name,
            "unrelated",
            lambda prompt=prompt, elsewhere=elsewhere: unrelated(base, found[elsewhere], prompt),
        )
        keep(name, "own", lambda name=name, prompt=prompt: own(base, found[name], prompt))
        if given.lora:
            keep(
                name,
                "lora",
                lambda name=name, elsewhere=elsewhere: lora_on(
                    base, found[name], found[elsewhere], config
                ),
            )
    show(results, names)
    record({name: results[name] for name in names}, given.minutes, base)


def record(results: dict[str, Any], minutes: float, base: DecoderModel) -> None:
    """Put the packages into the results file, without this machine's paths, if it is of the same
    model, time and number of threads, or if all of them are there to replace it."""
    of: dict[str, Any] = {
        "minutes": minutes,
        "threads": torch.get_num_threads(),
        "model_fingerprint": base.model_fingerprint[:12],
    }
    kept = json.loads(RESULTS.read_text())
    others = kept["packages"] if of.items() <= kept.items() else {}
    told = {
        name: {**one, "tuned": {**one["tuned"], "prompt": Path(one["tuned"]["prompt"]).name}}
        for name, one in results.items()
    }
    if (others | told).keys() >= set(packages()[1]):
        RESULTS.write_text(json.dumps({**of, "packages": others | told}, indent=1) + "\n")
        print(RESULTS)


def show(results: dict[str, Any], names: Sequence[str]) -> None:
    """The table: each package, median and worst."""
    columns = {
        "middle saved": lambda one: one["tuned"]["proof"]["gain"],
        "low": lambda one: one["tuned"]["proof"]["gain_low"],
        "files saved": lambda one: one["tuned"]["files_gain"],
        "specific": lambda one: one["tuned"]["proof"]["specificity"],
        "others' worst": lambda one: min(
            arm["gain"]
            for arm_name, arm in one["tuned"]["proof"]["arms"].items()
            if arm_name.startswith("prompt of ")
        ),
        "retrieval": lambda one: one["tuned"]["proof"]["arms"]["retrieval only"]["gain"],
        "both over it": lambda one: one["tuned"]["proof"]["over_retrieval"]["gain"],
        "half by 3 min": lambda one: one["tuned"]["early_share"],
        "as served": lambda one: one["own"]["served"][0],
        "elsewhere": lambda one: one["unrelated"]["always"][0],
        "elsewhere as served": lambda one: one["unrelated"]["served"][0],
        "LoRA": lambda one: one["lora"]["gain"],
        "LoRA elsewhere": lambda one: one["lora"]["unrelated"],
    }
    table = Table(title="Share of bits saved on unseen files")
    table.add_column("package")
    for title in columns:
        table.add_column(title, justify="right")
    gathered: dict[str, list[float]] = {title: [] for title in columns}
    for name in names:
        cells = []
        for title, read in columns.items():
            try:
                value = read(results[name])
            except (KeyError, TypeError):
                value = None
            if value is not None:
                gathered[title].append(value)
            cells.append("" if value is None else f"{value:+.1%}")
        table.add_row(name, *cells)
    for title, of in (("median", statistics.median), ("worst", min)):
        table.add_row(
            title, *(f"{of(values):+.1%}" if values else "" for values in gathered.values())
        )
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
