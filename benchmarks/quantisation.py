"""What weights of 8 and 4 bits lose: bits per byte, and what is suggested, on unseen packages.

    ATTUNE_MODEL=FOLDER python -m benchmarks.quantisation [--packages click,httpx] [--windows 40]
        [--places 150]

FOLDER has full weights; those of the shipped model are `code_model/default` as it was in commit
839262f.

The packages are those that pretraining held out. Bits per byte are of windows of their files, each
behind the beginning token alone. Suggestions are those of the serving pipeline with retrieved code
at the same places for all (`benchmarks.acceptance`). Results go to
`benchmarks/results/quantisation.json`.
"""

import argparse
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.acceptance import Package, gain_text, pooled, score_cells
from benchmarks.repositories import CACHE, repositories
from code_model.block_quantisation import SCHEMES
from code_model.language_model import LanguageModel, ScoredIds
from code_model.loading import load_model
from code_model.model_choice import ModelChoice
from code_model.model_folder import read_model_folder
from code_model.model_resolution import MODEL_VARIABLE, resolve_model
from tuning.acceptance import saved_at_equal_wrong
from tuning.corpus import collect
from tuning.proof import RETRIEVAL, Condition

RESULTS = Path("benchmarks/results/quantisation.json")
WINDOW, SHORTEST = 2000, 500  # characters, of a window and of a file
SEED = 1
FULL = "float32"


def windows_of(folders: Sequence[Path], count: int) -> list[str]:
    """From the beginning of a line to `WINDOW` characters later, in `count` files."""
    rng = random.Random(SEED)
    texts = [file.text for folder in folders for file in collect(folder).files]
    long = [text for text in texts if len(text) >= SHORTEST]
    windows = []
    for text in rng.sample(long, min(count, len(long))):
        start = text.rfind("\n", 0, rng.randrange(max(1, len(text) - WINDOW))) + 1
        windows.append(text[start : start + WINDOW])
    return windows


def bits_per_byte(model: LanguageModel, windows: Sequence[str]) -> float:
    """Over all windows; the first token of each is given."""
    session, nats, size = model.open(), 0.0, 0
    for window in windows:
        ids = model.tokenizer.encode(window)[: session.room(1)]
        (scored,) = session.score([ScoredIds(ids, len(ids) - 1)])
        nats += sum(scored)
        size += len(model.tokenizer.decode(ids[1:]).encode())
    return nats / math.log(2) / size


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure float32 and every scheme in turn; write after each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--packages", default="click,httpx,networkx")
    parser.add_argument("--windows", type=int, default=40)
    parser.add_argument("--places", type=int, default=150, help="of each package")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    path, rows, replays = resolve_model().choice.path, dict[str, dict[str, Any]](), {}
    if read_model_folder(path).stored_scheme is not None:
        raise SystemExit(f"The weights in {path} are rounded already; set {MODEL_VARIABLE}.")
    names = options.packages.split(",")
    folders = [repositories(options.cache, names)[name] for name in names]
    windows = windows_of(folders, options.windows)
    packages = [Package.of(folder, options.places, None, options.cache) for folder in folders]
    for scheme in (None, *SCHEMES):
        precision = FULL if scheme is None else None
        choice = ModelChoice(path, "decoder", precision=precision, quantisation=scheme)
        model = load_model(choice)
        label = f"{model.identity.model_fingerprint} {model.runtime} quantisation"
        condition = Condition(model, None, retrieval=True)
        by_package = {each.name: {RETRIEVAL: each.replay(label, condition)} for each in packages}
        replay = replays[scheme or FULL] = pooled(by_package)[RETRIEVAL]
        gain = saved_at_equal_wrong(replay, replays[FULL], model.show_thresholds, SEED)
        rows[scheme or FULL] = {
            "bits_per_byte": bits_per_byte(model, windows),
            **replay.at(model.show_thresholds.balanced).to_json(),
            "saved_at_equal_wrong": gain.to_json(),
        }
        written = {"windows": len(windows), "places": len(replay.paths), "precisions": rows}
        options.results.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    show(rows)


def show(rows: dict[str, dict[str, Any]]) -> None:
    """The table; suggestions at the balanced threshold."""
    table = Table()
    for name in (
        "weights",
        "bits per byte",
        "",
        "shown",
        "right",
        "saved",
        "wrong",
        "at equal wrong",
    ):
        table.add_column(name)
    full = rows[FULL]["bits_per_byte"]
    for name, row in rows.items():
        table.add_row(
            name,
            f"{row['bits_per_byte']:.4f}",
            f"{row['bits_per_byte'] / full - 1:+.2%}",
            *score_cells(row),
            gain_text(row["saved_at_equal_wrong"]),
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
