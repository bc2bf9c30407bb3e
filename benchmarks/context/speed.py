"""Milliseconds of parsing, indexing and assembling contexts, on real code."""

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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from code_context.chunking import IDENTIFIER
from code_context.index import RepositoryIndex
from code_context.index_store import index_file
from code_context.languages import language_of
from code_context.retrieval import Retriever
from code_context.syntax import TreeCache
from code_model.language_model import LanguageModel
from completion.model_input import CompletionPoint, context_at

SEED = 7
ROOM = 1_500  # tokens of a context
MIN_FILE_BYTES = 2_000  # of files with cursors and of changed files
TYPED = "    value = compute(first, second)\n"
INDEXING = """\
import json, re, sys, time
from pathlib import Path
from code_context.index_refresh import refresh
from code_context.index_store import index_file, open_or_rebuild
root = Path(sys.argv[1])
index, _ = open_or_rebuild(index_file(root))
started, cpu = time.perf_counter(), time.process_time()
done = refresh(index, root)
wall, cpu = time.perf_counter() - started, time.process_time() - cpu
peak_kb = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print(json.dumps([done.files, wall, cpu, int(peak_kb) / 1024]))
"""

Row = dict[str, object]
Seconds = tuple[float, float]
"""Wall-clock time, and processor time of this process; nan where other processes do the work."""


@dataclass(frozen=True)
class Amount:
    """How much is measured: lines of the parsed file, cursors, files changed on disk."""

    lines: int = 5_000
    places: int = 20
    cursors: int = 60
    changes: int = 30


def measure(
    model: LanguageModel,
    archives: Sequence[Path],
    amount: Amount | None = None,
    library: Path | None = None,
) -> list[Row]:
    """One row for each figure: p50 and p95 in milliseconds, or a rate.

    `library` is measured in place of the standard library.
    """
    amount = amount or Amount()
    library = library or Path(sysconfig.get_paths()["stdlib"])
    rows = [_reparse(library, amount)]
    with _copies(library, archives) as roots:
        for name, root in roots.items():
            rows += _index(name, root)
            rows += _assembly(model, name, root, amount)
            rows.append(_one_change(name, root, amount))
    return rows


def _reparse(library: Path, amount: Amount) -> Row:
    """One keystroke in a file of many lines."""
    text = ""
    for file in sorted(library.glob("*.py")):
        text += file.read_text("utf-8", "replace")
        if text.count("\n") > amount.lines:
            break
    lines = text.splitlines(keepends=True)[: amount.lines]
    text = "".join(lines)
    rng, trees = random.Random(SEED), TreeCache()
    times = []
    for _ in range(amount.places):
        at = sum(map(len, lines[: rng.randrange(len(lines))]))
        _ = trees.parse(text, "python", "a.py").root
        for count in range(1, len(TYPED) + 1):
            changed = text[:at] + TYPED[:count] + text[at:]
            started = _now()
            _ = trees.parse(changed, "python", "a.py").root
            times.append(_since(started))
    return _times(f"parse again after one keystroke, {len(lines):,} lines", times)


def _index(name: str, root: Path) -> list[Row]:
    """In a process of its own, as the server does it."""
    index_file(root).unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-I", "-c", INDEXING, str(root)],
        capture_output=True,
        text=True,
        check=True,
    )
    files, wall_s, cpu_s, peak_mb = json.loads(done.stdout)
    return [
        {"what": f"{name}: files indexed per second of one core", "value": round(files / cpu_s)},
        {"what": f"{name}: seconds for the first index", "value": round(wall_s, 2)},
        {"what": f"{name}: MB resident after {files} files", "value": round(peak_mb)},
    ]


def _assembly(model: LanguageModel, name: str, root: Path, amount: Amount) -> list[Row]:
    """The context at a new cursor, and after each of the next keystrokes there."""
    retriever = Retriever(RepositoryIndex(index_file(root), read_only=True))
    rng = random.Random(SEED)
    files = [
        path
        for path in sorted(root.rglob("*.py"))
        if MIN_FILE_BYTES < path.stat().st_size < 200_000
    ]
    first: list[Seconds] = []
    further: list[Seconds] = []
    for path in rng.sample(files, min(amount.cursors, len(files))):
        text, trees = path.read_text("utf-8", "replace"), TreeCache()
        relative = path.relative_to(root).as_posix()
        offset = rng.choice([match.end() for match in IDENTIFIER.finditer(text)])
        _ = trees.parse(text, language_of(relative), relative).root
        for n_typed in range(6):
            if n_typed:
                text, offset = text[:offset] + "x" + text[offset:], offset + 1
            tree = trees.parse(text, language_of(relative), relative)
            _ = tree.root
            started = _now()
            point = CompletionPoint(tree, relative, offset, retriever, room=ROOM)
            context_at(model.encoder, point)
            (further if n_typed else first).append(_since(started))
    return [
        _times(f"{name}: assemble a context at a new place", first),
        _times(f"{name}: assemble it again after a keystroke", further),
    ]


def _one_change(name: str, root: Path, amount: Amount) -> Row:
    """Time from a change of a file on disk until a request uses it, through the index process."""
    command = [sys.executable, "-I", "-m", "code_context.index_process", str(root)]
    times = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            _wait_until_ready(process)
            index = RepositoryIndex(index_file(root), read_only=True)
            files = [
                path
                for path in sorted(root.rglob("*.py"))
                if MIN_FILE_BYTES < path.stat().st_size < 60_000
                and index.exclusion_of(path.relative_to(root).as_posix()) is None
            ]
            drawn = random.Random(SEED).sample(files, min(amount.changes, len(files)))
            times = [_change(index, path, number) for number, path in enumerate(drawn)]
        finally:
            if process.stdin is not None:
                process.stdin.close()  # the process ends with its input
    return _times(f"{name}: from a changed file to its being served", times)


def _wait_until_ready(process: "subprocess.Popen[str]") -> None:
    """Raises `RuntimeError` if the process ends before its first index is complete."""
    for line in process.stdout or ():
        if "ready" in json.loads(line):
            return
    raise RuntimeError("the index process ended before it was ready")


def _change(index: RepositoryIndex, path: Path, number: int) -> Seconds:
    """Replace a file and wait until its new function is found."""
    text = path.read_text("utf-8", "replace")
    temporary = path.with_suffix(".benchmark")
    temporary.write_text(f"def changed_{number}():\n    pass\n\n\n{text}", encoding="utf-8")
    started = time.perf_counter()
    os.replace(temporary, path)
    while not index.definitions(f"changed_{number}"):
        index.drop_stale_cache()
        time.sleep(0.001)  # the index process may have this core only
        if time.perf_counter() - started > 30:
            raise RuntimeError(f"{path.name} changed and was not indexed within 30 s")
    return time.perf_counter() - started, math.nan


def _now() -> Seconds:
    return time.perf_counter(), time.process_time()


def _since(started: Seconds) -> Seconds:
    now = _now()
    return now[0] - started[0], now[1] - started[1]


def _times(what: str, seconds: Sequence[Seconds]) -> Row:
    """Percentiles of wall-clock time, and of processor time, which other work disturbs less."""
    (p50, p95), (_, own) = np.percentile(np.array(seconds) * 1e3, (50, 95), axis=0).T
    row: Row = {"what": what, "p50_ms": round(float(p50), 2), "p95_ms": round(float(p95), 2)}
    return row if np.isnan(own) else row | {"cpu_p95_ms": round(float(own), 2)}


@contextmanager
def _copies(library: Path, archives: Sequence[Path]) -> Iterator[dict[str, Path]]:
    """Copies of the library and of the unpacked archives, with a cache folder of their own."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        before = os.environ.get("XDG_CACHE_HOME")
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        try:
            roots = {"standard library": folder / "stdlib"}
            for path in library.rglob("*.py"):
                relative = path.relative_to(library)
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
        finally:
            if before is None:
                del os.environ["XDG_CACHE_HOME"]
            else:
                os.environ["XDG_CACHE_HOME"] = before


def show(rows: Sequence[Row], console: Console) -> None:
    """One line for each figure."""
    table = Table("What", "p50", "p95", "p95 of own time", "Value", box=None)
    for row in rows:
        table.add_row(
            *(str(row.get(key, "")) for key in ("what", "p50_ms", "p95_ms", "cpu_p95_ms", "value"))
        )
    console.print(table)
