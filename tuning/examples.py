"""Training examples and held-out holes: holes of real files, behind the context of serving."""

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
from code_model.token_healing import MAX_TOKENS_BACK
from completion.model_input import CompletionPoint, input_and_typed
from tuning.config import Task, TuningConfig
from tuning.corpus import SourceFile

MAX_MIDDLE_TOKENS = 96
QUOTED = re.compile(r"""([rRuU]*(?:\"{3}|'{3}|\"|'))(.*?)(?:\"{3}|'{3}|\"|')""", re.DOTALL)
RESERVE = 64  # tokens of the layout itself, as in completion.pipeline
MIN_HOLE = 4  # characters; shorter holes are no evidence about a code base
# how often each kind is hidden: the kinds that people complete most are hidden most often
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
    in front, None without a retriever."""

    file: SourceFile
    hole: Hole
    example: Example
    retrieved: Example | None
    size: int
    newest: bool = False


def middle_of(file: SourceFile, hole: Hole) -> str:
    """The hidden text."""
    return file.text[hole.start : hole.end]


def without_middle(file: SourceFile, hole: Hole) -> str:
    """The file's text in an editor whose cursor is at the hole's start."""
    return file.text[: hole.start] + file.text[hole.end :]


def fim_example(
    model: LanguageModel,
    file: SourceFile,
    hole: Hole,
    config: ContextConfig,
    room: int,
    others: Retriever | None = None,
) -> Example:
    """The example of a hole; a middle that is too long is cut and then has no end token.

    The middle begins where it does in serving: with token healing, at the border of a token before
    the hole, so that the loss covers the whole token that the model has to write.

    Retrieved code of `others` stands in front and comes on top of `room`, so that the open file
    gets the same tokens with it and without.
    """
    tree = parse(without_middle(file, hole), language_of(file.path))
    encoder, hidden = model.encoder, middle_of(file, hole)
    left = room - len(encoder.encode_middle(hidden)[:MAX_MIDDLE_TOKENS])
    if encoder.template.token_healing:
        left -= MAX_TOKENS_BACK
    if others is not None:
        left = with_snippets(left, config)
    point = CompletionPoint(tree, file.path, hole.start, others, config, left)
    context, typed = input_and_typed(encoder, point)
    middle = encoder.encode_middle(hidden, typed)[:MAX_MIDDLE_TOKENS]
    return Example(context + middle, len(middle))


def with_snippets(room: int, config: ContextConfig) -> int:
    """The room in which the open file gets what it has in `room` without snippets.

    `completion.model_input` shrinks all budgets alike when they do not fit.
    """
    local = config.max_prefix_tokens + config.max_suffix_tokens + config.max_header_tokens
    share = min(1.0, max(0, room - RESERVE) / local)
    return room + round(share * config.max_snippet_tokens)


def indexed(files: Sequence[SourceFile]) -> Retriever:
    """A retriever over these files, as serving has one over all files of a repository."""
    index = RepositoryIndex()
    for file in files:
        index.put(file.path, file.text)
    return Retriever(index)


class TrainingExamples:
    """Endless examples by number: a share of plain windows left to right, the rest FIM.

    Example n depends on n and the seed alone, so that a run can continue anywhere and several
    processes can share the work. Files are drawn by the square root of their length. `room` is the
    length in tokens of the longest example; each has between a third of it and all of it, because a
    prompt that was trained on short contexts only does harm in front of long ones
    (docs/experiments.md). Half of the examples come from files of `changed`, if there are any.
    Code is retrieved from `others`, for the share `retrieved` of the holes. The context is built
    with the parameters `context`.
    """

    def __init__(
        self,
        model: LanguageModel,
        files: Sequence[SourceFile],
        *,
        config: TuningConfig,
        room: int,
        changed: Collection[str] = (),
        others: Retriever | None = None,
        context: ContextConfig | None = None,
    ) -> None:
        self._model, self._files, self._room, self._config = model, files, room, config
        self._others, self._context = others, context or ContextConfig()
        self._weights = [len(file.text) ** 0.5 for file in files]
        pairs = zip(files, self._weights, strict=True)
        changed_weight = sum(weight for file, weight in pairs if file.path in changed)
        if 0 < changed_weight < sum(self._weights) / 2:
            factor = (sum(self._weights) - changed_weight) / changed_weight
            for row, file in enumerate(files):
                self._weights[row] *= factor if file.path in changed else 1.0
        self._by_kind = cache(holes_by_kind)

    def __getitem__(self, number: int) -> Example:
        """Example `number`, from 0 on without end."""
        rng = random.Random(f"{self._config.seed}/{number}")
        room = rng.randint(self._room // 3, self._room)
        file = rng.choices(self._files, self._weights)[0]
        kinds = self._by_kind(file, self._config.task)
        if not kinds or rng.random() < self._config.causal_fraction:
            ids = self._model.encoder.encode_file(file.path, _window(rng, file.text, room))[:room]
            return Example(ids, len(ids) - 1)
        kind = rng.choices(list(kinds), [KIND_SHARES[kind] for kind in kinds])[0]
        hole = rng.choice(kinds[kind])
        if rng.random() < 0.5:  # most often, part of the code is already typed
            start = rng.randrange(hole.start, hole.end)
            hole = Hole(hole.kind, start, hole.end)
        with_retrieval = self._others is not None and rng.random() < self._config.retrieved
        others = self._others if with_retrieval else None
        return fim_example(self._model, file, hole, self._context, room, others)


def held_out_holes(
    model: LanguageModel,
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
    """At most `count` holes, spread evenly over the files; kinds are drawn by their shares.

    In a file of `newest`, they begin in the given lines (from 0) if possible. With `others`, each
    hole has a second form with retrieved code in front. Of more files than `count`, some have none.
    """
    rng = random.Random(seed)
    drawn: list[tuple[SourceFile, Hole, bool]] = []
    per_file = max(2, -(-count // max(1, len(files))))
    for file in files:
        kinds = holes_by_kind(file, task)
        in_newest = _beginning_in(kinds, file, (newest or {}).get(file.path, ()))
        kinds = in_newest or kinds
        for _ in range(per_file):
            remaining = [kind for kind in kinds if kinds[kind]]
            if not remaining:
                break
            kind = rng.choices(remaining, [KIND_SHARES[kind] for kind in remaining])[0]
            hole = kinds[kind].pop(rng.randrange(len(kinds[kind])))
            drawn.append((file, hole, bool(in_newest)))
    rng.shuffle(drawn)
    return [
        _held_out(model, file, hole, is_newest, config, room, others)
        for file, hole, is_newest in drawn[:count]
    ]


def _held_out(
    model: LanguageModel,
    file: SourceFile,
    hole: Hole,
    is_newest: bool,
    config: ContextConfig,
    room: int,
    others: Retriever | None,
) -> HeldOutHole:
    example = fim_example(model, file, hole, config, room)
    middle = model.tokenizer.decode(example.ids[-example.scored :])
    size = min(len(middle.encode()), len(middle_of(file, hole).encode()))
    retrieved = None
    if others is not None:
        retrieved = fim_example(model, file, hole, config, room, others)
    return HeldOutHole(file, hole, example, retrieved, size, is_newest)


def holes_by_kind(file: SourceFile, task: Task) -> dict[HoleKind, list[Hole]]:
    """All holes of a file that a task may hide, by kind."""
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
    docstrings = []
    for span in tree.spans("syntax", "string"):
        quoted = QUOTED.fullmatch(tree.text[span.start : span.end])
        if span.start in bodies and quoted is not None and quoted[2].strip():
            docstrings.append(
                Hole("line", span.start + quoted.start(2), span.start + quoted.end(2))
            )
    return docstrings


def _beginning_in(
    kinds: Mapping[HoleKind, list[Hole]], file: SourceFile, lines: Collection[int]
) -> dict[HoleKind, list[Hole]]:
    index = LineIndex(file.text)
    chosen = {
        kind: [hole for hole in holes if index.line_of(hole.start) in lines]
        for kind, holes in kinds.items()
    }
    return {kind: holes for kind, holes in chosen.items() if holes}


def _window(rng: random.Random, text: str, room: int) -> str:
    """Part of a file from a line's start on; long enough for `room` tokens if the file is."""
    if len(text) <= 6 * room:
        return text
    start = text.find("\n", rng.randrange(len(text) - 4 * room)) + 1
    return text[start : start + 8 * room]
