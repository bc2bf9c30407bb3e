"""`python -m pretraining COMMAND --folder DIR`: corpus, tokenizer, train, evaluate, export."""

import argparse
import json
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from tokenizers import Tokenizer

from code_model.language_model import ModelLoadError
from pretraining import checkpoint, corpus, evaluate, export, tokenizer, train

FOLDER = Path(__file__).parent
SHIPPED_MODEL = FOLDER.parent / "code_model" / "default"


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
    except (corpus.CorpusError, checkpoint.CheckpointError, ModelLoadError, OSError) as error:
        print(f"pretraining: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pretraining", description=__doc__)
    parser.add_argument(
        "command", choices=("corpus", "tokenizer", "train", "evaluate", "export"),
        help="corpus downloads and builds; export copies the run's model into the package",
    )  # fmt: skip
    parser.add_argument("--folder", type=Path, required=True, help="of the corpus and the runs")
    parser.add_argument("--run", default="run", help="name of the run inside the folder")
    parser.add_argument("--config", type=Path, default=FOLDER / "config.toml")
    parser.add_argument("--model", type=Path, help="evaluate: a model folder, else the shipped one")
    parser.add_argument(
        "--from",
        dest="start",
        type=Path,
        metavar="MODEL",
        help="train: begin a new run with this model's weights and tokenizer",
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
            corpus.download(folder)
            print(json.dumps(corpus.build(folder), indent=1))
        case "tokenizer":
            run.mkdir(parents=True, exist_ok=True)
            _train_tokenizer(folder, config).save(str(run / "tokenizer.json"))
        case "train":
            train.train(
                folder, config, options.run, start=options.start, call_minutes=options.call_minutes
            )
        case "evaluate":
            print(json.dumps(_evaluate(options.model, folder), indent=1))
        case "export":
            model = train.build_model(config)
            model.load_state_dict(checkpoint.load(run / "checkpoint.pt")["model"])
            export.export(model, run / "tokenizer.json", SHIPPED_MODEL)


def _train_tokenizer(folder: Path, config: dict[str, Any]) -> Tokenizer:
    """Train the tokenizer, and print its characters per token beside those of GPT-2's pattern."""
    settings, seed = config["tokenizer"], config["training"]["seed"]
    documents, held_out = corpus.read(folder, "train"), corpus.read(folder, "held_out")
    trained = [
        tokenizer.train(documents, settings["vocab_size"], settings["sample_bytes"], seed, pattern)
        for pattern in (tokenizer.PATTERN, tokenizer.GPT2_PATTERN)
    ]
    ours, gpt2 = (round(tokenizer.characters_per_token(each, held_out), 3) for each in trained)
    print(json.dumps({"characters_per_token": {"this": ours, "gpt2_pattern": gpt2}}))
    return trained[0]


def _evaluate(model: Path | None, folder: Path) -> dict[str, Any]:
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("evaluating", total=1.0)
        return evaluate.evaluate(
            model, folder, progress=lambda share: bar.update(task, completed=share)
        )


if __name__ == "__main__":
    sys.exit(main())
