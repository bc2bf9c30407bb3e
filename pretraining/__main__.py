"""`python -m pretraining COMMAND --folder DIR`: from the corpus to a model that ships."""

import argparse
import json
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from tokenizers import Tokenizer

from code_model.block_quantisation import SCHEMES
from code_model.decoder.llama import Llama
from code_model.decoder.loading import load_decoder
from code_model.decoder.precision import dense
from code_model.language_model import ModelLoadError
from code_model.model_folder import read_model_folder
from pretraining import (
    build,
    checkpoint,
    corpus,
    evaluate,
    export,
    package_lists,
    scaling,
    smollm2,
    tokenizer,
    train,
)

FOLDER = Path(__file__).parent
SHIPPED_MODEL = FOLDER.parent / "code_model" / "default"


EXPECTED = (
    corpus.CorpusError,
    checkpoint.CheckpointError,
    smollm2.NotFetchedError,
    ModelLoadError,
    OSError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; an expected failure prints one sentence and gives exit code 1."""
    options = _parser().parse_args(arguments)
    config = tomllib.loads(options.config.read_text(encoding="utf-8"))
    try:
        _run(options, config)
    except MemoryError:
        print(
            "pretraining: out of memory; lower the rows per step in the config and run the "
            "command again: it goes on from the last checkpoint.",
            file=sys.stderr,
        )
        return 1
    except EXPECTED as error:
        print(f"pretraining: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pretraining", description=__doc__)
    parser.add_argument(
        "command",
        choices=("corpus", "tokenizer", "smollm2", "scaling", "train", "evaluate", "export"),
        help="corpus fetches and builds; smollm2 makes a model that train can begin with; "
        "scaling trains several shapes and fits which one a time trains best; "
        "export copies the run's model into the package",
    )
    parser.add_argument("--folder", type=Path, required=True, help="of the corpus and the runs")
    parser.add_argument("--run", default="run", help="name of the run inside the folder")
    parser.add_argument("--config", type=Path, default=FOLDER / "config.toml")
    parser.add_argument(
        "--model",
        type=Path,
        help="evaluate, export: a model folder; else the shipped one, the run's checkpoint",
    )
    parser.add_argument(
        "--from",
        dest="start",
        type=Path,
        metavar="MODEL",
        help="train: begin a new run with this model's weights and tokenizer",
    )
    parser.add_argument(
        "--continued",
        action="store_true",
        help="train: MODEL is a run's export; go on with that run's schedule",
    )
    parser.add_argument("--to", type=Path, default=SHIPPED_MODEL, help="export: the folder")
    parser.add_argument("--scheme", choices=SCHEMES, help="export: quantised weights")
    parser.add_argument(
        "--per-language",
        type=int,
        metavar="PACKAGES",
        help="corpus: for a rehearsal, so many packages of each language to train on",
    )
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=(),
        metavar="TOKENS",
        help="tokenizer: compare these sizes as well",
    )
    parser.add_argument(
        "--call-minutes",
        type=float,
        help="train: save a checkpoint and stop after this time; the next call continues",
    )
    return parser


def _run(options: argparse.Namespace, config: dict[str, Any]) -> None:
    folder: Path = options.folder
    run = folder / options.run
    match options.command:
        case "corpus":
            _build_corpus(folder, package_lists.listed(options.per_language))
        case "tokenizer":
            run.mkdir(parents=True, exist_ok=True)
            _train_tokenizer(folder, config, options.sizes).save(str(run / "tokenizer.json"))
        case "smollm2":
            smollm2.make_start(folder / "smollm2", folder / "smollm2" / "start")
        case "scaling":
            print(json.dumps(scaling.measure(folder, config, run / "tokenizer.json"), indent=1))
        case "train":
            train.train(
                folder,
                config,
                options.run,
                start=options.start,
                continued=options.continued,
                call_minutes=options.call_minutes,
            )
        case "evaluate":
            results = _evaluate(options.model, folder)
            out = folder / f"evaluation-{results['model']}.json"
            out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            print(evaluate.markdown(results))
            print(json.dumps(results["copying"]))
        case "export":
            source: Path = options.model or run
            model = _trained(run, config) if options.model is None else _loaded(options.model)
            export.export(
                model,
                source / "tokenizer.json",
                options.to,
                scheme=options.scheme,
                card=source / "README.md",
            )


def _trained(run: Path, config: dict[str, Any]) -> Llama:
    model = train.build_model(config)
    model.load_state_dict(checkpoint.load(run / "checkpoint.pt")["model"])
    return model


def _loaded(folder: Path) -> Llama:
    return dense(load_decoder(read_model_folder(folder)).llama)


def _build_corpus(folder: Path, lists: package_lists.Lists) -> None:
    """Fetch and build, and print a table of the languages."""
    console = Console(stderr=True)
    with Progress(console=console) as bar:
        task = bar.add_task("")

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        build.fetch(folder, lists, show)
        manifests = build.build(folder, lists, show)
    table = Table("language", "documents", "MB", "held out", "MB", "left out")
    for language, manifest in manifests.items():
        sizes = [
            text
            for side in ("train", "held_out")
            for text in (f"{manifest['documents'][side]:,}", f"{manifest['bytes'][side] / 1e6:.1f}")
        ]
        left_out = ", ".join(f"{rule} {count:,}" for rule, count in manifest["left_out"].items())
        table.add_row(language, *sizes, left_out)
    Console().print(table)


def _train_tokenizer(folder: Path, config: dict[str, Any], sizes: Sequence[int]) -> Tokenizer:
    """Train the tokenizer; print the characters of its tokens beside those of others.

    The others have GPT-2's pattern, or one of `sizes` tokens.
    """
    settings, seed = config["tokenizer"], config["training"]["seed"]
    chosen = settings["vocab_size"]
    documents, held_out = corpus.read(folder, "train"), corpus.read(folder, "held_out")
    variants = {f"{size:,}": (size, tokenizer.PATTERN) for size in sorted({chosen, *sizes})}
    variants[f"{chosen:,}, GPT-2's pattern"] = (chosen, tokenizer.GPT2_PATTERN)
    trained, table = {}, Table("language", *variants)
    with Progress(console=Console(stderr=True)) as bar:
        for name, (size, pattern) in bar.track(variants.items(), description="training"):
            trained[name] = tokenizer.train(
                documents, size, settings["sample_bytes"], seed, pattern
            )
    figures = [tokenizer.characters_per_token(each, held_out) for each in trained.values()]
    for language in figures[0]:
        table.add_row(language, *(f"{figure[language]:.3f}" for figure in figures))
    Console().print(table)
    return trained[f"{chosen:,}"]


def _evaluate(model: Path | None, folder: Path) -> dict[str, Any]:
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("evaluating", total=1.0)
        return evaluate.evaluate(
            model, folder, progress=lambda share: bar.update(task, completed=share)
        )


if __name__ == "__main__":
    sys.exit(main())
