"""What tuning depends on, each study at equal steps on one package and the same held-out holes.

    python -m benchmarks.tuning_studies curve | ablation | parts | models [--package networkx]

`curve` tunes on 5, 20, 80 and all files. `ablation` leaves out or adds one part of the recipe at a
time. `parts` tunes for one folder and for docstrings, and compares with the general prompt there.
`models` tunes behind several base models (`--models FOLDER …`). Each prints its table and adds it
to `benchmarks/results/tuning_studies.json`; `python -m benchmarks.tuning_plot` draws them.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.tuning import CACHE, UNRELATED, files_bits_per_byte, repositories, saved
from code_model.decoder.model import DecoderModel
from code_model.loading import load_model
from tuning.config import TuningConfig
from tuning.corpus import collect
from tuning.examples import HeldOutHole, indexed
from tuning.job import Job, new_job
from tuning.run import initialise, train_job
from tuning.train import TrainingState

RESULTS = Path("benchmarks/results/tuning_studies.json")
SIZES = (5, 20, 80)
ABLATIONS: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "no retrieved code in the examples": {"retrieved": 0.0},
    "loss on the hole alone": {"context_weight": 0.0},
    "all tokens weigh the same": {"context_weight": 1.0},
    "holes only, nothing left to right": {"causal_fraction": 0.0},
    "virtual tokens with positions (form kv)": {"form": "kv"},
    "form embedding": {"form": "embedding"},
    "128 virtual tokens": {"num_virtual_tokens": 128},
    "the latest offsets, no mean": {"ema_power": math.inf},
    "all of the way": {"wise_ft_alpha": 1.0},
    "no decay": {"weight_decay": 0.0},
    "a third of the learning rate": {"learning_rate": 0.033},
    "twice the learning rate": {"learning_rate": 0.2},
    "all of the way, twice the learning rate": {"wise_ft_alpha": 1.0, "learning_rate": 0.2},
    "the rest weighs 0.6": {"context_weight": 0.6},
    "hardly any clipping": {"max_grad_norm": 10.0},
    "examples of up to 1,024 tokens": {"max_tokens": 1024},
}
PARTS: dict[str, dict[str, Any]] = {
    "algorithms": {"include": ("networkx/algorithms/**",)},
    "docstrings": {"task": "docstring"},
}
Row = dict[str, Any]


def tuned(job: Job) -> TrainingState:
    """The best prompt of a job."""
    start = initialise(job, lambda done: None)
    return train_job(job, start, lambda fraction, state: None)


def gains(
    job: Job,
    state: TrainingState,
    holes: Sequence[HeldOutHole],
    unrelated: Sequence[HeldOutHole] = (),
) -> Row:
    """What a prompt saves on the holes: against no prompt, and both beside retrieved code; and on
    holes of another repository."""
    base = job.base
    prefix = base.prefix_of(state.prompt_embeddings, job.config.form)
    own = [hole.example for hole in holes]
    measured = {
        "gain": saved(base, prefix, holes, own),
        "over_retrieval": saved(
            base, prefix, holes, [hole.retrieved or hole.example for hole in holes]
        ),
    }
    if unrelated:
        elsewhere = [hole.example for hole in unrelated]
        measured["unrelated"] = saved(base, prefix, unrelated, elsewhere)
    return {
        **measured,
        "steps": state.steps,
        "best_step": state.selected.step,
        "seconds": round(state.seconds, 1),
        "validation": round(state.selected.gain.mean, 5),
        "files": job.split.sizes,
        "holes": len(holes),
    }


def one(job: Job, unrelated: Sequence[HeldOutHole] = ()) -> Row:
    """Tune, and measure on the job's own test files."""
    return gains(job, tuned(job), job.test_holes(indexed(job.corpus.files)), unrelated)


def curve(base: DecoderModel, folder: Path, config: TuningConfig) -> Iterator[tuple[str, Row]]:
    """The first files by path of a hashed order would favour none; the split's order is by path, so
    every n-th file is taken."""
    job = new_job(base, collect(folder), config)
    files = job.split.train
    for size in (*(size for size in SIZES if size < len(files)), len(files)):
        some = files[:: len(files) // size][:size]
        yield f"{size} files", one(replace(job, split=replace(job.split, train=some)))


def ablation(
    base: DecoderModel, folder: Path, config: TuningConfig, elsewhere: Path
) -> Iterator[tuple[str, Row]]:
    """Each part of the recipe, left out or added; also what the prompt costs `elsewhere`."""
    read = collect(folder)
    unrelated = new_job(base, collect(elsewhere), config).test_holes()
    for name, change in ABLATIONS.items():
        yield name, one(new_job(base, read, replace(config, **change)), unrelated)


def parts(base: DecoderModel, folder: Path, config: TuningConfig) -> Iterator[tuple[str, Row]]:
    """A specialised prompt and the general one on the specialised one's held-out holes.

    The general one is tuned on all files but those that are held out there.
    """
    read = collect(folder)
    for name, change in PARTS.items():
        special = new_job(base, read, replace(config, **change))
        holes = special.test_holes(indexed(read.files))
        yield f"{name}: the specialised prompt", gains(special, tuned(special), holes)
        held_out = {file.path for file in (*special.split.validation, *special.split.test)}
        rest = tuple(file for file in read.files if file.path not in held_out)
        general = replace(new_job(base, read, config), split=replace(special.split, train=rest))
        yield f"{name}: the general prompt", gains(general, tuned(general), holes)


def models(
    folders: Sequence[Path], folder: Path, config: TuningConfig
) -> Iterator[tuple[str, Row]]:
    """The same behind several checkpoints of the base, and how well each expects unseen files."""
    for path in folders:
        job = new_job(load_model(path), collect(folder), config)
        known = files_bits_per_byte(job.base, None, job.split.test)
        yield path.name, {**one(job), "bits_per_byte": round(known, 5)}


def show(title: str, rows: dict[str, Row]) -> None:
    """The table of one study."""
    table = Table(title=title)
    titles = ("", "saved", "95 %", "over retrieval", "95 %", "elsewhere", "best step", "seconds")
    for column in titles:
        table.add_column(column, justify="left" if not column else "right")
    for name, row in rows.items():
        cells = []
        for key in ("gain", "over_retrieval"):
            mean, low, high = row[key]
            cells += [f"{mean:+.1%}", f"{low:+.1%} to {high:+.1%}"]
        cells.append(f"{row['unrelated'][0]:+.1%}" if "unrelated" in row else "")
        table.add_row(name, *cells, f"{row['best_step']} of {row['steps']}", str(row["seconds"]))
    Console(width=140).print(table)


def main() -> None:
    """Run one study; what was measured is kept after every row."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("study", choices=("curve", "ablation", "parts", "models"))
    parser.add_argument("--package", default="networkx")
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--models", type=Path, nargs="*", default=[])
    parser.add_argument("--cache", type=Path, default=CACHE)
    given = parser.parse_args()
    elsewhere = next(one for one in UNRELATED if one != given.package)
    found = repositories(given.cache, [given.package, elsewhere])
    folder, config = found[given.package], TuningConfig(steps=given.steps)
    if given.study == "models":
        rows = models(given.models, folder, config)
    elif given.study == "ablation":
        rows = ablation(load_model(), folder, config, found[elsewhere])
    else:
        rows = {"curve": curve, "parts": parts}[given.study](load_model(), folder, config)
    title = f"{given.study}: {given.package}, {given.steps} steps"
    measured: dict[str, Row] = {}
    console = Console(stderr=True)
    began = time.monotonic()
    for name, row in rows:
        measured[name] = row
        console.print(f"{name}: {row['gain'][0]:+.1%}, {time.monotonic() - began:.0f} s so far")
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps({**kept, title: measured}, indent=1) + "\n")
    show(title, measured)


if __name__ == "__main__":
    main()
