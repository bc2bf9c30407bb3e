"""What tuning depends on: studies at equal steps, on one package and the same held-out holes.

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

from benchmarks.repositories import CACHE, repositories
from benchmarks.tuning import UNRELATED
from benchmarks.tuning_gain import SEED, files_bits_per_byte, interval
from code_model.language_model import TunableModel
from code_model.loading import load_tunable_model
from tuning.config import TuningConfig
from tuning.corpus import collect
from tuning.evaluate import paired_gain, total_nats
from tuning.examples import Example, HeldOutHole, indexed
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


def trained(job: Job) -> TrainingState:
    """The end of a job's training, with the selected prompt."""
    return train_job(job, initialise(job, lambda share: None), lambda share, state: None)


def gains(
    job: Job,
    state: TrainingState,
    holes: Sequence[HeldOutHole],
    unrelated: Sequence[HeldOutHole] = (),
) -> Row:
    """What a prompt saves on holes, and on holes of another repository, if there are some.

    `gain` compares with no prompt, `over_retrieval` both with retrieved code; each with its 95 %
    interval over files.
    """
    model = job.model
    prefix = model.prefix_of(state.prompt_embeddings, job.config.form)

    def saved(holes: Sequence[HeldOutHole], examples: Sequence[Example]) -> list[float | None]:
        without, behind = (
            total_nats(model.score(each, examples)) for each in (model.bare_prefix(), prefix)
        )
        return interval(paired_gain(without, behind, holes, SEED))

    row: Row = {
        "gain": saved(holes, [hole.example for hole in holes]),
        "over_retrieval": saved(holes, [hole.retrieved or hole.example for hole in holes]),
    }
    if unrelated:
        row["unrelated"] = saved(unrelated, [hole.example for hole in unrelated])
    return {
        **row,
        "steps": state.steps,
        "best_step": state.selected.step,
        "seconds": round(state.seconds, 1),
        "validation": round(state.selected.gain.mean, 5),
        "files": job.split.sizes,
        "holes": len(holes),
    }


def train_and_measure(job: Job, unrelated: Sequence[HeldOutHole] = ()) -> Row:
    """Tune, and measure on the job's own test files."""
    return gains(job, trained(job), job.test_holes(indexed(job.corpus.files)), unrelated)


def curve(model: TunableModel, folder: Path, config: TuningConfig) -> Iterator[tuple[str, Row]]:
    """Tune on a part of the files: every n-th of them, since they are sorted by path."""
    job = new_job(model, collect(folder), config)
    files = job.split.train
    for size in (*(size for size in SIZES if size < len(files)), len(files)):
        some = files[:: len(files) // size][:size]
        smaller = replace(job, split=replace(job.split, train=some))
        yield f"{size} files", train_and_measure(smaller)


def ablation(
    model: TunableModel,
    folder: Path,
    config: TuningConfig,
    elsewhere: Path,
    ablations: dict[str, dict[str, Any]] = ABLATIONS,
) -> Iterator[tuple[str, Row]]:
    """Leave out or add one part of the recipe; also what the prompt costs `elsewhere`."""
    corpus = collect(folder)
    unrelated = new_job(model, collect(elsewhere), config).test_holes()
    for name, change in ablations.items():
        job = new_job(model, corpus, replace(config, **change))
        yield name, train_and_measure(job, unrelated)


def parts(
    model: TunableModel,
    folder: Path,
    config: TuningConfig,
    parts: dict[str, dict[str, Any]] = PARTS,
) -> Iterator[tuple[str, Row]]:
    """A specialised prompt and the general one, on the specialised one's held-out holes.

    The general one is tuned on all files except those that are held out there.
    """
    corpus = collect(folder)
    for name, change in parts.items():
        special = new_job(model, corpus, replace(config, **change))
        holes = special.test_holes(indexed(corpus.files))
        yield f"{name}: the specialised prompt", gains(special, trained(special), holes)
        held_out = {file.path for file in (*special.split.validation, *special.split.test)}
        rest = tuple(file for file in corpus.files if file.path not in held_out)
        general = replace(new_job(model, corpus, config), split=replace(special.split, train=rest))
        yield f"{name}: the general prompt", gains(general, trained(general), holes)


def models(
    folders: Sequence[Path], folder: Path, config: TuningConfig
) -> Iterator[tuple[str, Row]]:
    """The same behind several base models, with the bits per byte of each on unseen files."""
    for path in folders:
        job = new_job(load_tunable_model(path), collect(folder), config)
        bits = files_bits_per_byte(job.model, None, job.split.test)
        yield path.name, {**train_and_measure(job), "bits_per_byte": round(bits, 5)}


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
            cells += [f"{mean:+.1%}", "" if low is None else f"{low:+.1%} to {high:+.1%}"]
        cells.append(f"{row['unrelated'][0]:+.1%}" if "unrelated" in row else "")
        table.add_row(name, *cells, f"{row['best_step']} of {row['steps']}", str(row["seconds"]))
    Console(width=140).print(table)


def run(title: str, rows: Iterator[tuple[str, Row]], results: Path) -> dict[str, Row]:
    """Run a study; `results` is written after every row."""
    measured: dict[str, Row] = {}
    console = Console(stderr=True)
    started = time.monotonic()
    for name, row in rows:
        measured[name] = row
        console.print(f"{name}: {row['gain'][0]:+.1%}, {time.monotonic() - started:.0f} s so far")
        earlier = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {}
        results.write_text(
            json.dumps({**earlier, title: measured}, indent=1) + "\n", encoding="utf-8"
        )
    return measured


def main() -> None:
    """Run one study."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("study", choices=("curve", "ablation", "parts", "models"))
    parser.add_argument("--package", default="networkx")
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--models", type=Path, nargs="*", default=[])
    parser.add_argument("--cache", type=Path, default=CACHE)
    options = parser.parse_args()
    elsewhere = next(name for name in UNRELATED if name != options.package)
    folders = repositories(options.cache, [options.package, elsewhere])
    folder, config = folders[options.package], TuningConfig(steps=options.steps)
    match options.study:
        case "models":
            rows = models(options.models, folder, config)
        case "ablation":
            rows = ablation(load_tunable_model(), folder, config, folders[elsewhere])
        case "curve":
            rows = curve(load_tunable_model(), folder, config)
        case _:
            rows = parts(load_tunable_model(), folder, config)
    title = f"{options.study}: {options.package}, {options.steps} steps"
    show(title, run(title, rows, RESULTS))


if __name__ == "__main__":
    main()
