"""`python -m pretraining COMMAND --folder DIR`: corpus, tokenizer, train, evaluate, export."""

import argparse
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from tokenizers import Tokenizer

from code_model.loading import ModelLoadError
from pretraining import corpus, evaluate, export, tokenizer, train

HERE = Path(__file__).parent


def main() -> int:
    """Run one command; expected failures end in one sentence and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m pretraining", description=__doc__)
    parser.add_argument(
        "command", choices=("corpus", "tokenizer", "train", "evaluate", "export"),
        help="corpus downloads and builds; export copies the run's model into the package",
    )  # fmt: skip
    parser.add_argument("--folder", type=Path, required=True, help="where corpus and runs live")
    parser.add_argument("--run", default="run", help="name of the run inside the folder")
    parser.add_argument("--config", type=Path, default=HERE / "config.toml")
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
        help="train: stop after so long with a checkpoint to go on from",
    )
    arguments = parser.parse_args()
    config = tomllib.loads(arguments.config.read_text(encoding="utf-8"))
    folder: Path = arguments.folder
    run = folder / arguments.run
    try:
        match arguments.command:
            case "corpus":
                corpus.download(folder)
                print(json.dumps(corpus.build(folder), indent=1))
            case "tokenizer":
                run.mkdir(parents=True, exist_ok=True)
                _tokenizer(folder, config).save(str(run / "tokenizer.json"))
            case "train":
                train.train(
                    folder,
                    config,
                    arguments.run,
                    start=arguments.start,
                    call_minutes=arguments.call_minutes,
                )
            case "evaluate":
                with Progress(console=Console(stderr=True)) as bar:
                    task = bar.add_task("evaluating", total=1.0)
                    found = evaluate.evaluate(
                        arguments.model,
                        folder,
                        progress=lambda share: bar.update(task, completed=share),
                    )
                print(json.dumps(found, indent=1))
            case "export":
                model = train.build_model(config)
                model.load_state_dict(train.load(run / "checkpoint.pt")["model"])
                target = HERE.parent / "code_model" / "default"
                export.export(model, run / "tokenizer.json", target)
    except MemoryError:
        print(
            "pretraining: out of memory; lower the rows per step in the config and run the "
            "command again: it goes on from the last checkpoint.",
            file=sys.stderr,
        )
        return 1
    except (corpus.CorpusError, train.CheckpointError, ModelLoadError, OSError) as error:
        print(f"pretraining: {error}", file=sys.stderr)
        return 1
    return 0


def _tokenizer(folder: Path, config: dict[str, Any]) -> Tokenizer:
    """Train the tokenizer, and print what a token holds beside one that cuts text as GPT-2 does."""
    settings, seed = config["tokenizer"], config["training"]["seed"]
    documents, held_out = corpus.read(folder, "train"), corpus.read(folder, "held_out")
    trained = [
        tokenizer.train(documents, settings["vocab_size"], settings["sample_bytes"], seed, pattern)
        for pattern in (tokenizer.PATTERN, tokenizer.GPT2_PATTERN)
    ]
    ours, gpt2 = (round(tokenizer.characters_per_token(one, held_out), 3) for one in trained)
    print(json.dumps({"characters_per_token": {"this": ours, "gpt2_pattern": gpt2}}))
    return trained[0]


if __name__ == "__main__":
    sys.exit(main())
