"""Examples in the serving layout: holes of real files behind the context serving would build."""

import random
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from code_context.context import ContextConfig
from code_context.holes import Hole, HoleKind, find_holes
from code_context.index import RepositoryIndex
from code_context.languages import language_of
from code_context.positions import LineIndex
from code_context.retrieval import Retriever
from code_context.scopes import find_scopes
from code_context.syntax import SyntaxTree, parse
from code_model.language_model import LanguageModel
from completion.model_input import CompletionPoint, model_input
from tuning.config import Task, TuningConfig
from tuning.corpus import SourceFile

MAX_MIDDLE_TOKENS = 96
QUOTED = re.compile(r"""([rRuU]*(?:\"{3}|'{3}|\"|'))(.*?)(?:\"{3}|'{3}|\"|')""", re.DOTALL)
RESERVE = 64  # what the layout itself takes of the room, as completion.pipeline has it
MIN_HOLE = 4  # characters; shorter holes say nothing about a code base
# how often each kind is hidden: what people let complete most comes most often
KIND_SHARES: dict[HoleKind, float] = {
    "line_end": 0.4,
    "line": 0.2,
    "expression": 0.1,
    "arguments": 0.1,
    "block": 0.1,
    "body": 0.1,
}


@dataclass(frozen=True)
class Example:
    """Token ids of one example; the last `scored` of them are the hidden middle with its end."""

    ids: list[int]
    scored: int


@dataclass(frozen=True)
class HeldOutHole:
    """A hole of a held-out file. `size` counts the UTF-8 bytes of the scored middle; `newest` says
    that it lies in lines of the newest commits. `retrieved` is the example with code of other files
    in front, None where there are none."""

    file: SourceFile
    hole: Hole
    example: Example
    retrieved: Example | None
    size: int
    newest: bool = False


def middle_of(file: SourceFile, hole: Hole) -> str:
    """The text that the hole hides."""
    return file.text[hole.start : hole.end]


def without_middle(file: SourceFile, hole: Hole) -> str:
    """The file's text as the editor has it when the cursor stands at the hole's start."""
    return file.text[: hole.start] + file.text[hole.end :]


def fim_example(
    base: LanguageModel,
    file: SourceFile,
    hole: Hole,
    config: ContextConfig,
    room: int,
    others: Retriever | None = None,
) -> Example:
    """The example of a hole; a middle that is too long is cut and then has no end token.

    Code of `others` that retrieval finds stands in front and comes on top of `room`: what the open
    file says is the same with it and without.
    """
    tree = parse(without_middle(file, hole), language_of(file.path))
    middle = base.encoder.encode_middle(middle_of(file, hole))[:MAX_MIDDLE_TOKENS]
    left = room - len(middle)
    if others is not None:
        left = with_snippets(left, config)
    point = CompletionPoint(tree, file.path, hole.start, others, config, left)
    context = model_input(base.encoder, point)
    return Example(context + middle, len(middle))


def with_snippets(room: int, config: ContextConfig) -> int:
    """The room in which the open file gets what it has in `room` without snippets.

    `completion.model_input` shrinks all budgets alike when they do not fit.
    """
    local = config.max_prefix_tokens + config.max_suffix_tokens + config.max_header_tokens
    share = min(1.0, max(0, room - RESERVE) / local)
    return room + round(share * config.max_snippet_tokens)


def indexed(files: Sequence[SourceFile]) -> Retriever:
    """Retrieval from these files, as serving does it from all of a repository."""
    index = RepositoryIndex()
    for file in files:
        index.put(file.path, file.text)
    return Retriever(index)


class TrainingExamples:
    """Endless examples by number: a share of plain windows left to right, the rest FIM.

    Example n depends on n and the seed alone, so that a run can go on anywhere and several
    processes can share the work. Files are drawn by the square root of their length. `room` is the
    longest example in tokens; each may take a third of it to all of it, because a prompt that has
    learnt from short contexts only does harm in front of long ones (docs/experiments.md).

    Half of the examples come from the files of `changed`, if any of them is here. `others` is where
    code is retrieved from, for the share `retrieved` of the holes; `context` is what the prompt
    will be served with.
    """

    def __init__(
        self,
        base: LanguageModel,
        files: Sequence[SourceFile],
        *,
        config: TuningConfig,
        room: int,
        changed: Collection[str] = (),
        others: Retriever | None = None,
        context: ContextConfig | None = None,
    ) -> None:
        self._base, self._files, self._room, self._config = base, files, room, config
        self._others, self._context = others, context or ContextConfig()
        self._weights = [len(file.text) ** 0.5 for file in files]
        dwelt = sum(w for file, w in zip(files, self._weights, strict=True) if file.path in changed)
        if 0 < dwelt < sum(self._weights) / 2:
            more = (sum(self._weights) - dwelt) / dwelt
            for row, file in enumerate(files):
                self._weights[row] *= more if file.path in changed else 1.0
        self._by_kind = cache(_by_kind)

    def __getitem__(self, number: int) -> Example:
        """The example of that number, from 0 on without end."""
        rng = random.Random(f"{self._config.seed}/{number}")
        room = rng.randint(self._room // 3, self._room)
        file = rng.choices(self._files, self._weights)[0]
        kinds = self._by_kind(file, self._config.task)
        if not kinds or rng.random() < self._config.causal_fraction:
            return self._window(rng, file, room)
        kind = rng.choices(list(kinds), [KIND_SHARES[kind] for kind in kinds])[0]
        hole = rng.choice(kinds[kind])
        if rng.random() < 0.5:  # the cursor is seldom at the very start of what is to come
            start = rng.randrange(hole.start, hole.end)
            hole = Hole(hole.kind, start, hole.end)
        with_retrieval = self._others is not None and rng.random() < self._config.retrieved
        others = self._others if with_retrieval else None
        return fim_example(self._base, file, hole, self._context, room, others)

    def _window(self, rng: random.Random, file: SourceFile, room: int) -> Example:
        ids = self._base.encoder.encode_file(file.path, _window(rng, file.text, room))[:room]
        return Example(ids, len(ids) - 1)


def held_out_holes(
    base: LanguageModel,
    files: Sequence[SourceFile],
    *,
    config: ContextConfig,
    room: int,
    count: int,
    seed: int,
    task: Task = "completion",
    newest: Mapping[str, Collection[int]] | None = None,
    others: Retriever | None = None,
) -> list[HeldOutHole]:
    """About `count` holes, spread evenly over the files; kinds are drawn by their shares.

    In a file of `newest`, they begin in those of its lines (from 0), if any can. `others` is where
    the code in front of their second form is retrieved from.
    """
    rng = random.Random(seed)
    found: list[HeldOutHole] = []
    per_file = max(2, -(-count // max(1, len(files))))
    for file in files:
        kinds = _by_kind(file, task)
        new = _beginning_in(kinds, file, (newest or {}).get(file.path, ()))
        kinds = new or kinds
        for _ in range(per_file):
            left = [kind for kind in kinds if kinds[kind]]
            if not left:
                break
            kind = rng.choices(left, [KIND_SHARES[kind] for kind in left])[0]
            hole = kinds[kind].pop(rng.randrange(len(kinds[kind])))
            example = fim_example(base, file, hole, config, room)
            middle = base.tokenizer.decode(example.ids[-example.scored :])
            size = min(len(middle.encode()), len(middle_of(file, hole).encode()))
            retrieved = None
            if others is not None:
                retrieved = fim_example(base, file, hole, config, room, others)
            found.append(HeldOutHole(file, hole, example, retrieved, size, bool(new)))
    rng.shuffle(found)
    return found[: max(count, 2 * len(files))]


def _by_kind(file: SourceFile, task: Task) -> dict[HoleKind, list[Hole]]:
    kinds: dict[HoleKind, list[Hole]] = {}
    tree = parse(file.text, language_of(file.path))
    for hole in find_holes(tree) if task == "completion" else _docstrings(tree):
        if hole.end - hole.start >= MIN_HOLE:
            kinds.setdefault(hole.kind, []).append(hole)
    return kinds


def _docstrings(tree: SyntaxTree) -> list[Hole]:
    """The text between the quotes of strings that begin a module's, class's or function's body."""
    bodies = {scope.body_start for scope in find_scopes(tree)}
    bodies.add(len(tree.text) - len(tree.text.lstrip()))
    found = []
    for span in tree.spans("syntax", "string"):
        quoted = QUOTED.fullmatch(tree.text[span.start : span.end])
        if span.start in bodies and quoted is not None and quoted[2].strip():
            found.append(Hole("line", span.start + quoted.start(2), span.start + quoted.end(2)))
    return found


def _beginning_in(
    kinds: Mapping[HoleKind, list[Hole]], file: SourceFile, lines: Collection[int]
) -> dict[HoleKind, list[Hole]]:
    index = LineIndex(file.text)
    chosen = {
        kind: [hole for hole in found if index.line_of(hole.start) in lines]
        for kind, found in kinds.items()
    }
    return {kind: found for kind, found in chosen.items() if found}


def _window(rng: random.Random, text: str, room: int) -> str:
    """Part of a file from a line's start on; long enough for `room` tokens if the file is."""
    if len(text) <= 6 * room:
        return text
    start = text.find("\n", rng.randrange(len(text) - 4 * room)) + 1
    return text[start : start + 8 * room]
