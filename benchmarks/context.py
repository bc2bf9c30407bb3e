"""What context costs and what it is worth.

    python -m benchmarks.context quality --folder DATA [--holes N] [--packages NAME …]
    python -m benchmarks.context speed [--archive WHEEL …]

`quality` hides code of packages that the default model never trained on (DATA is the folder of
`python -m pretraining corpus`) and gives the model one source of context after the other: loss of
the hidden code in nats per token, exact first lines, and the difference to the plain window with
its 95 % interval over files (paired bootstrap), chosen code against random code also over packages.
Controls: a plain window of the same size as
everything, and random code of the same repository in place of chosen code.

`speed` measures parsing, indexing and assembling on the standard library and on wheels; give it one
core (`taskset -c 0 python -m …`).
"""

import argparse
import json
import math
import os
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from code_context.chunking import IDENTIFIER
from code_context.context import ContextConfig
from code_context.index import RepositoryIndex
from code_context.index_store import index_file
from code_context.retrieval import Retriever
from code_context.snippets import Snippet
from code_context.syntax import SyntaxTree, TreeCache, parse
from code_model.decoder.model import DecoderModel
from code_model.decoder.session import DecoderSession
from code_model.loading import load_model
from completion.model_input import CompletionPoint, context_at, model_input
from completion.pipeline import complete
from pretraining import corpus
from tuning.corpus import SourceFile
from tuning.evaluate import total_nats
from tuning.examples import Example, HeldOutHole, held_out_holes, middle_of, without_middle

PACKAGES = (
    "click", "rich", "httpx", "networkx", "celery", "black", "peft", "huggingface-hub"
)  # fmt: skip
RESAMPLES = 4_000
SEED = 7
DEFAULT = ContextConfig()
Seconds = tuple[float, float]
"""Passed, and of this process's own; nan where others do the work."""
TYPED = "    value = compute(first, second)\n"


class RandomCode(Retriever):
    """A control: chunks of other files, drawn without looking at the cursor."""

    def __init__(self, files: Sequence[SourceFile]) -> None:
        super().__init__(RepositoryIndex())
        self._files = files

    def snippets(self, tree: SyntaxTree, path: str, offset: int) -> list[Snippet]:
        """As many as the budget can hold."""
        rng = random.Random(f"{path}/{offset}")
        found = []
        for file in rng.sample(self._files, min(8, len(self._files))):
            if file.path != path:
                lines = file.text.splitlines(keepends=True)
                start = rng.randrange(max(1, len(lines) - 12))
                text = "".join(lines[start : start + rng.randint(6, 24)])
                found.append(Snippet(file.path, text, "similar", 0.0, start))
        return found


@dataclass(frozen=True)
class Arm:
    """One way to build the context; `others`: what speaks for the other files."""

    name: str
    config: ContextConfig
    others: str | None


PLAIN = replace(DEFAULT, max_header_tokens=0)
WIDER = DEFAULT.max_prefix_tokens + DEFAULT.max_header_tokens + DEFAULT.max_snippet_tokens
ARMS = (
    Arm("plain window", PLAIN, None),
    Arm("plain window, as long as everything", replace(PLAIN, max_prefix_tokens=WIDER), None),
    Arm("+ header: imports, signatures, members", DEFAULT, None),
    Arm("+ header, random code", replace(DEFAULT, sources=(("similar", 1.0),)), "random"),
    Arm("+ header, definitions", replace(DEFAULT, sources=(("definition", 1.0),)), "index"),
    Arm("+ header, similar code", replace(DEFAULT, sources=(("similar", 1.0),)), "index"),
    Arm("everything", DEFAULT, "index"),
)


def quality(folder: Path, packages: Sequence[str], holes: int, decoded: int) -> dict[str, object]:
    """Loss and exact match of every arm."""
    documents = corpus.read(folder, "held_out")
    base = load_model()
    engine = base.open()
    nats: dict[str, list[NDArray[np.float64]]] = {arm.name: [] for arm in ARMS}
    exact: dict[str, list[bool]] = {arm.name: [] for arm in ARMS}
    tokens = dict.fromkeys(nats, 0)
    scored: list[int] = []
    groups: list[str] = []
    by_package: dict[str, dict[str, float]] = {}
    for package in track(packages, "Packages", console=Console(stderr=True)):
        files = tuple(SourceFile(one.path, one.text) for one in documents if one.package == package)
        chosen = _holes(base, files, holes)
        others = {"index": _indexed(files), "random": RandomCode(files)}
        counted = []
        for arm in ARMS:
            examples = []
            repository = others.get(arm.others or "")
            for one in chosen:
                tree = parse(without_middle(one.file, one.hole), "python")
                point = CompletionPoint(tree, one.file.path, one.hole.start, repository, arm.config)
                ids = model_input(base.encoder, point)
                tokens[arm.name] += len(ids)
                middle = one.example.ids[-one.example.scored :]
                examples.append(Example([*ids, *middle], len(middle)))
            nats[arm.name].append(total_nats(engine.score(examples)))
            counted = [example.scored for example in examples]
            lines = [one for one in chosen if one.hole.kind in ("line", "line_end")][:decoded]
            exact[arm.name] += [_exact(engine, one, arm.config, repository) for one in lines]
        scored += counted
        groups += [f"{package}/{one.file.path}" for one in chosen]
        by_package[package] = {
            name: round(float(found[-1].sum() / sum(counted)), 4) for name, found in nats.items()
        }
    losses = {name: np.concatenate(found) for name, found in nats.items()}
    rows = []
    for arm in ARMS:
        low, high = _interval(losses[arm.name] - losses[ARMS[0].name], scored, groups)
        rows.append(
            {
                "context": arm.name,
                "tokens": round(tokens[arm.name] / len(scored)),
                "loss": round(float(losses[arm.name].sum() / sum(scored)), 4),
                "exact": round(sum(exact[arm.name]) / max(1, len(exact[arm.name])), 4),
                "against_plain": [low, high],
            }
        )
    chosen_code = losses["+ header, definitions"] - losses["+ header, random code"]
    similar = losses["+ header, similar code"] - losses["+ header, random code"]
    return {
        "model": base.name,
        "model_fingerprint": base.model_fingerprint[:16],
        "packages": list(packages),
        "holes": len(scored),
        "files": len(set(groups)),
        "decoded_lines": len(next(iter(exact.values()))),
        "rows": rows,
        "loss_by_package": by_package,
        "definitions_against_random": _interval(chosen_code, scored, groups),
        "similar_against_random": _interval(similar, scored, groups),
        **{
            f"{name}_against_random_over_packages": _interval(
                difference, scored, [group.partition("/")[0] for group in groups]
            )
            for name, difference in (("definitions", chosen_code), ("similar", similar))
        },
    }


def _holes(base: DecoderModel, files: Sequence[SourceFile], count: int) -> list[HeldOutHole]:
    drawn = random.Random(SEED).sample(files, min(len(files), count))
    return held_out_holes(base, drawn, config=PLAIN, room=512, count=count, seed=SEED)[:count]


def _indexed(files: Sequence[SourceFile]) -> Retriever:
    index = RepositoryIndex()
    for file in files:
        index.put(file.path, file.text)
    return Retriever(index)


def _exact(
    engine: DecoderSession, one: HeldOutHole, config: ContextConfig, repository: Retriever | None
) -> bool:
    text = without_middle(one.file, one.hole)
    point = CompletionPoint.parse(text, one.file.path, one.hole.start, repository, config)
    answer = complete(engine, point, explicit=True)
    expected = middle_of(one.file, one.hole).strip().splitlines()[0].rstrip()
    said = answer.text.strip().splitlines()
    return bool(said) and said[0].rstrip() == expected


def _interval(
    differences: NDArray[np.float64], scored: Sequence[int], groups: Sequence[str]
) -> tuple[float, float]:
    """95 % interval of a difference in nats per token; whole groups are drawn: files, packages."""
    names = sorted(set(groups))
    row = {name: number for number, name in enumerate(names)}
    sums = np.zeros((len(names), 2))
    for difference, count, group in zip(differences, scored, groups, strict=True):
        sums[row[group]] += (difference, count)
    rng = np.random.default_rng(SEED)
    drawn = sums[rng.integers(len(names), size=(RESAMPLES, len(names)))].sum(axis=1)
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], (2.5, 97.5))
    return round(float(low), 4), round(float(high), 4)


def show_quality(found: dict[str, object], console: Console) -> None:
    """The table of the README."""
    table = Table("Context", "Tokens", "Loss", "Against the plain window", "Exact lines", box=None)
    for row in found["rows"]:  # type: ignore[attr-defined]
        low, high = row["against_plain"]
        table.add_row(
            row["context"],
            str(row["tokens"]),
            f"{row['loss']:.3f}",
            f"{low:+.3f} to {high:+.3f}",
            f"{row['exact']:.1%}",
        )
    console.print(table)
    for name in ("definitions", "similar"):
        for drawn, key in (("files", ""), ("packages", "_over_packages")):
            low, high = found[f"{name}_against_random{key}"]  # type: ignore[misc]
            console.print(
                f"{name} against random code: {low:+.3f} to {high:+.3f} nats per token "
                f"(whole {drawn} drawn)"
            )


def speed(archives: Sequence[Path]) -> list[dict[str, object]]:
    """One row for each figure: what, p50 and p95 in ms, or a rate."""
    rows: list[dict[str, object]] = [_reparse()]
    with _unpacked(archives) as roots:
        for name, root in roots.items():
            rows += _index(name, root)
            rows += _assembly(name, root)
            rows.append(_one_change(name, root))
    return rows


def _reparse() -> dict[str, object]:
    """One keystroke in a file of 5,000 lines of the standard library."""
    text = ""
    for file in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        text += file.read_text("utf-8", "replace")
        if text.count("\n") > 5_000:
            break
    text = "".join(text.splitlines(keepends=True)[:5_000])
    rng, trees = random.Random(SEED), TreeCache()
    lines = text.splitlines(keepends=True)
    times = []
    for _place in range(20):
        at = sum(map(len, lines[: rng.randrange(len(lines))]))
        _ = trees.parse(text, "a.py").root
        for count in range(1, len(TYPED) + 1):
            changed = text[:at] + TYPED[:count] + text[at:]
            began = _now()
            _ = trees.parse(changed, "a.py").root
            times.append(_since(began))
    return _times("parse again after one keystroke, 5,000 lines", times)


def _index(name: str, root: Path) -> list[dict[str, object]]:
    """In a process of its own, as serving has it."""
    code = (
        "import json, re, sys, time; from pathlib import Path;"
        "from code_context.index_refresh import refresh;"
        "from code_context.index_store import index_file, open_or_rebuild;"
        "root = Path(sys.argv[1]); index, _ = open_or_rebuild(index_file(root));"
        "began, cpu = time.perf_counter(), time.process_time(); done = refresh(index, root);"
        "print(json.dumps([done.files, time.perf_counter() - began, time.process_time() - cpu,"
        "int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) / 1024]))"
    )
    index_file(root).unlink(missing_ok=True)
    ran = subprocess.run(
        [sys.executable, "-I", "-c", code, str(root)], capture_output=True, text=True, check=True
    )
    files, wall, cpu, memory = json.loads(ran.stdout)
    return [
        {"what": f"{name}: files indexed per second of one core", "value": round(files / cpu)},
        {"what": f"{name}: seconds for the first index", "value": round(wall, 2)},
        {"what": f"{name}: MB resident after {files} files", "value": round(memory)},
    ]


def _assembly(name: str, root: Path) -> list[dict[str, object]]:
    """The context of a cursor where none was before, and of the keystrokes that follow there."""
    base = load_model()
    repository = Retriever(RepositoryIndex(index_file(root), read_only=True))
    rng = random.Random(SEED)
    files = [path for path in sorted(root.rglob("*.py")) if 2_000 < path.stat().st_size < 200_000]
    first: list[Seconds] = []
    further: list[Seconds] = []
    for path in rng.sample(files, min(60, len(files))):
        text, trees = path.read_text("utf-8", "replace"), TreeCache()
        relative = path.relative_to(root).as_posix()
        at = rng.choice([match.end() for match in IDENTIFIER.finditer(text)])
        _ = trees.parse(text, relative).root
        for typed in range(6):
            if typed:
                text, at = text[:at] + "x" + text[at:], at + 1
            tree = trees.parse(text, relative)
            _ = tree.root
            began = _now()
            point = CompletionPoint(tree, relative, at, repository, DEFAULT, room=1_500)
            context_at(base.encoder, point)
            (further if typed else first).append(_since(began))
    return [
        _times(f"{name}: assemble a context at a new place", first),
        _times(f"{name}: assemble it again after a keystroke", further),
    ]


def _one_change(name: str, root: Path) -> dict[str, object]:
    """From a file's change on disk until a request sees it, through the index process."""
    command = [sys.executable, "-I", "-m", "code_context.index_process", str(root)]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    times = []
    try:
        while running.stdout is not None and "ready" not in json.loads(running.stdout.readline()):
            pass
        index = RepositoryIndex(index_file(root), read_only=True)
        files = [
            path
            for path in sorted(root.rglob("*.py"))
            if 2_000 < path.stat().st_size < 60_000
            and index.exclusion_of(path.relative_to(root).as_posix()) is None
        ]
        for number, path in enumerate(random.Random(SEED).sample(files, 30)):
            text = path.read_text("utf-8", "replace")
            temporary = path.with_suffix(".benchmark")
            temporary.write_text(f"def changed_{number}():\n    pass\n\n\n{text}", encoding="utf-8")
            began = time.perf_counter()
            os.replace(temporary, path)
            while not index.definitions(f"changed_{number}"):
                index.drop_stale_cache()
                time.sleep(0.001)  # the process that indexes may have this core only
                if time.perf_counter() - began > 30:
                    raise RuntimeError(f"{path.name} changed and was not indexed within 30 s")
            times.append((time.perf_counter() - began, math.nan))
    finally:
        if running.stdin is not None:
            running.stdin.close()
        running.wait()
    return _times(f"{name}: from a changed file to its being served", times)


def _now() -> Seconds:
    return time.perf_counter(), time.process_time()


def _since(began: Seconds) -> Seconds:
    now = _now()
    return now[0] - began[0], now[1] - began[1]


def _times(what: str, seconds: Sequence[Seconds]) -> dict[str, object]:
    """Passed time and this process's own, which a busy machine does not change as much."""
    (p50, p95), (_, own) = np.percentile(np.array(seconds) * 1e3, (50, 95), axis=0).T
    row: dict[str, object] = {
        "what": what, "p50_ms": round(float(p50), 2), "p95_ms": round(float(p95), 2)
    }  # fmt: skip
    return row if np.isnan(own) else row | {"cpu_p95_ms": round(float(own), 2)}


@contextmanager
def _unpacked(archives: Sequence[Path]) -> Iterator[dict[str, Path]]:
    """Copies of the standard library and of the archives, in a temporary folder and cache."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        roots = {"standard library": folder / "stdlib"}
        stdlib = Path(sysconfig.get_paths()["stdlib"])
        for path in stdlib.rglob("*.py"):
            relative = path.relative_to(stdlib)
            if "site-packages" not in relative.parts:
                target = roots["standard library"] / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
        for archive in archives:
            name = archive.name.partition("-")[0]
            roots[name] = folder / name
            with zipfile.ZipFile(archive) as opened:
                opened.extractall(roots[name])
        yield roots


def show_speed(rows: Sequence[dict[str, object]], console: Console) -> None:
    """One line for each figure."""
    table = Table("What", "p50", "p95", "p95 of own time", "Value", box=None)
    for row in rows:
        table.add_row(
            *(str(row.get(key, "")) for key in ("what", "p50_ms", "p95_ms", "cpu_p95_ms", "value"))
        )
    console.print(table)


def main() -> None:
    """Run a benchmark; the figures go to stdout, and as JSON to --out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.context", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    asked = commands.add_parser("quality")
    asked.add_argument("--folder", type=Path, required=True)
    asked.add_argument("--packages", nargs="+", default=PACKAGES)
    asked.add_argument("--holes", type=int, default=160, help="of each package")
    asked.add_argument(
        "--decoded", type=int, default=16, help="first lines decoded of each package"
    )
    asked = commands.add_parser("speed")
    asked.add_argument("--archive", type=Path, nargs="*", default=[])
    for command in commands.choices.values():
        command.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    console = Console()
    found: object
    if options.command == "quality":
        measured = quality(options.folder, options.packages, options.holes, options.decoded)
        show_quality(measured, console)
        found = measured
    else:
        timed = speed(options.archive)
        show_speed(timed, console)
        found = timed
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
