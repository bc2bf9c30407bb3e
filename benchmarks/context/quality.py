"""The loss of hidden code with each source of context.

Holes are hidden in packages that the default model was not trained on. Each condition builds the
context in its own way; the results are the loss of the hidden code in nats per token, the share of
exact first lines, and the difference in loss to the plain window, with its 95 % interval over files
(paired bootstrap). Two conditions are controls: a plain window of the same size as everything
together, and random code of the same repository in place of retrieved code.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from code_context.context import ContextConfig
from code_context.index import RepositoryIndex
from code_context.retrieval import Retriever
from code_context.snippets import Snippet
from code_context.syntax import SyntaxTree, parse
from code_model.language_model import LanguageModel, Session
from completion.model_input import CompletionPoint, model_input
from completion.pipeline import complete
from pretraining.corpus import Document
from tuning.corpus import SourceFile
from tuning.evaluate import total_nats
from tuning.examples import Example, HeldOutHole, held_out_holes, middle_of, without_middle

PACKAGES = (
    "click", "rich", "httpx", "networkx", "celery", "black", "peft", "huggingface-hub"
)  # fmt: skip
RESAMPLES = 4_000
SEED = 7
ROOM = 512  # tokens of a hole's own context
DEFAULT = ContextConfig()
PLAIN = replace(DEFAULT, max_header_tokens=0)
WIDER = DEFAULT.max_prefix_tokens + DEFAULT.max_header_tokens + DEFAULT.max_snippet_tokens


@dataclass(frozen=True)
class Condition:
    """One way to build the context. `retriever`: "index", "random", or None for no other file."""

    name: str
    config: ContextConfig
    retriever: str | None


CONDITIONS = (
    Condition("plain window", PLAIN, None),
    Condition("plain window, as long as everything", replace(PLAIN, max_prefix_tokens=WIDER), None),
    Condition("+ header: imports, signatures, members", DEFAULT, None),
    Condition("+ header, random code", replace(DEFAULT, sources=(("similar", 1.0),)), "random"),
    Condition("+ header, definitions", replace(DEFAULT, sources=(("definition", 1.0),)), "index"),
    Condition("+ header, similar code", replace(DEFAULT, sources=(("similar", 1.0),)), "index"),
    Condition("everything", DEFAULT, "index"),
)


class RandomCode(Retriever):
    """A control: chunks of other files, drawn at random."""

    def __init__(self, files: Sequence[SourceFile]) -> None:
        super().__init__(RepositoryIndex())
        self._files = files

    def snippets(self, tree: SyntaxTree, path: str, offset: int) -> list[Snippet]:
        """As many chunks as the budget can hold, the same for the same cursor."""
        rng = random.Random(f"{path}/{offset}")
        drawn = []
        for file in rng.sample(self._files, min(8, len(self._files))):
            if file.path != path:
                lines = file.text.splitlines(keepends=True)
                start = rng.randrange(max(1, len(lines) - 12))
                text = "".join(lines[start : start + rng.randint(6, 24)])
                drawn.append(Snippet(file.path, text, "similar", 0.0, start))
        return drawn


@dataclass
class Scores:
    """What a condition gave so far: nats of each hole, exact lines, input tokens in all."""

    nats: list[NDArray[np.float64]] = field(default_factory=list)
    exact: list[bool] = field(default_factory=list)
    tokens: int = 0


def measure(
    model: LanguageModel,
    documents: Sequence[Document],
    packages: Sequence[str],
    holes_per_package: int,
    decoded_per_package: int,
    room: int | None = None,
) -> dict[str, Any]:
    """Loss and exact match of every condition. `room` limits contexts to so many tokens."""
    session = model.open()
    scores = {condition.name: Scores() for condition in CONDITIONS}
    middles: list[int] = []
    files_of: list[str] = []
    loss_by_package: dict[str, dict[str, float]] = {}
    for package in track(packages, "Packages", console=Console(stderr=True)):
        files = tuple(
            SourceFile(document.path, document.text)
            for document in documents
            if document.package == package
        )
        drawn = random.Random(SEED).sample(files, min(len(files), holes_per_package))
        holes = held_out_holes(
            model, drawn, config=PLAIN, room=ROOM, count=holes_per_package, seed=SEED
        )
        _score_package(session, files, holes, decoded_per_package, room, scores)
        counts = [hole.example.scored for hole in holes]
        middles += counts
        files_of += [f"{package}/{hole.file.path}" for hole in holes]
        loss_by_package[package] = {
            name: round(float(score.nats[-1].sum() / sum(counts)), 4)
            for name, score in scores.items()
        }
    return {
        "model": model.name,
        "model_fingerprint": model.identity.model_fingerprint[:16],
        "packages": list(packages),
        "holes": len(middles),
        "files": len(set(files_of)),
        "decoded_lines": len(scores[CONDITIONS[0].name].exact),
        "rows": _rows(scores, middles, files_of),
        "loss_by_package": loss_by_package,
        **_against_random(scores, middles, files_of),
    }


def _score_package(
    session: Session,
    files: Sequence[SourceFile],
    holes: Sequence[HeldOutHole],
    n_decoded: int,
    room: int | None,
    scores: dict[str, Scores],
) -> None:
    """Add the holes of one package to the scores of every condition."""
    index = RepositoryIndex()
    for file in files:
        index.put(file.path, file.text)
    retrievers = {"index": Retriever(index), "random": RandomCode(files), None: None}
    lines = [hole for hole in holes if hole.hole.kind in ("line", "line_end")][:n_decoded]
    for condition in CONDITIONS:
        retriever, score = retrievers[condition.retriever], scores[condition.name]
        examples = []
        for hole in holes:
            tree = parse(without_middle(hole.file, hole.hole), "python")
            point = CompletionPoint(
                tree, hole.file.path, hole.hole.start, retriever, condition.config, room
            )
            ids = model_input(session.model.encoder, point)
            score.tokens += len(ids)
            middle = hole.example.ids[-hole.example.scored :]
            examples.append(Example([*ids, *middle], len(middle)))
        score.nats.append(total_nats(session.score(examples)))
        score.exact += [_is_exact(session, hole, condition.config, retriever) for hole in lines]


def _is_exact(
    session: Session, hole: HeldOutHole, config: ContextConfig, retriever: Retriever | None
) -> bool:
    """Whether the first line of the completion is the hidden one."""
    text = without_middle(hole.file, hole.hole)
    point = CompletionPoint.parse(text, hole.file.path, hole.hole.start, retriever, config)
    result = complete(session, point, explicit=True)
    lines = result.text.strip().splitlines()
    expected = middle_of(hole.file, hole.hole).strip().splitlines()[0].rstrip()
    return bool(lines) and lines[0].rstrip() == expected


def _rows(
    scores: dict[str, Scores], middles: Sequence[int], files_of: Sequence[str]
) -> list[dict[str, Any]]:
    """The table: one row for each condition."""
    plain = np.concatenate(scores[CONDITIONS[0].name].nats)
    rows = []
    for name, score in scores.items():
        nats = np.concatenate(score.nats)
        rows.append(
            {
                "context": name,
                "tokens": round(score.tokens / len(middles)),
                "loss": round(float(nats.sum() / sum(middles)), 4),
                "exact": round(sum(score.exact) / max(1, len(score.exact)), 4),
                "against_plain": _interval(nats - plain, middles, files_of),
            }
        )
    return rows


def _against_random(
    scores: dict[str, Scores], middles: Sequence[int], files_of: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Intervals of retrieved code against random code, over files and over packages."""
    control = np.concatenate(scores["+ header, random code"].nats)
    packages = [file.partition("/")[0] for file in files_of]
    intervals = {}
    for source, name in (
        ("definitions", "+ header, definitions"),
        ("similar", "+ header, similar code"),
    ):
        difference = np.concatenate(scores[name].nats) - control
        intervals[f"{source}_against_random"] = _interval(difference, middles, files_of)
        intervals[f"{source}_against_random_over_packages"] = _interval(
            difference, middles, packages
        )
    return intervals


def _interval(
    differences: NDArray[np.float64], middles: Sequence[int], groups: Sequence[str]
) -> tuple[float, float]:
    """95 % interval of a difference in nats per token; whole groups (files, packages) are drawn."""
    names = sorted(set(groups))
    row = {name: number for number, name in enumerate(names)}
    sums = np.zeros((len(names), 2))
    for difference, count, group in zip(differences, middles, groups, strict=True):
        sums[row[group]] += (difference, count)
    rng = np.random.default_rng(SEED)
    drawn = sums[rng.integers(len(names), size=(RESAMPLES, len(names)))].sum(axis=1)
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], (2.5, 97.5))
    return round(float(low), 4), round(float(high), 4)


def show(figures: dict[str, Any], console: Console) -> None:
    """The table of the README."""
    table = Table("Context", "Tokens", "Loss", "Against the plain window", "Exact lines", box=None)
    for row in figures["rows"]:
        low, high = row["against_plain"]
        table.add_row(
            row["context"],
            str(row["tokens"]),
            f"{row['loss']:.3f}",
            f"{low:+.3f} to {high:+.3f}",
            f"{row['exact']:.1%}",
        )
    console.print(table)
    for source in ("definitions", "similar"):
        for drawn, key in (("files", ""), ("packages", "_over_packages")):
            low, high = figures[f"{source}_against_random{key}"]
            console.print(
                f"{source} against random code: {low:+.3f} to {high:+.3f} nats per token "
                f"(whole {drawn} drawn)"
            )
