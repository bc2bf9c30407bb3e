"""`python -m pretraining COMMAND --folder DIR`: corpus, tokenizer, train, evaluate, export."""

import argparse
import json
import sys
import tomllib
from pathlib import Path

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
                settings = config["tokenizer"]
                tokenizer.train(
                    corpus.read(folder, "train"),
                    settings["vocab_size"],
                    settings["sample_bytes"],
                    config["training"]["seed"],
                ).save(str(run / "tokenizer.json"))
            case "train":
                train.train(folder, config, arguments.run)
            case "evaluate":
                print(json.dumps(evaluate.evaluate(arguments.model, folder), indent=1))
            case "export":
                model = train.build_model(config)
                model.load_state_dict(train.load(run / "checkpoint.pt")["model"])
                target = HERE.parent / "code_model" / "default"
                export.export(model, run / "tokenizer.json", target)
    except (corpus.CorpusError, train.CheckpointError, ModelLoadError, OSError) as error:
        print(f"pretraining: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
