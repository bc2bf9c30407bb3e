"""Examples in the serving layout: holes of real files behind the context serving would build."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from code_context.context import ContextConfig
from code_context.syntax import Hole, HoleKind, holes, language_of, parse
from code_model.completion import model_input
from code_model.loading import BaseModel
from tuning.corpus import SourceFile

MAX_MIDDLE_TOKENS = 96
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
    """A hole of a held-out file. `size` counts the UTF-8 bytes of the scored middle."""

    file: SourceFile
    hole: Hole
    example: Example
    size: int


def middle_of(file: SourceFile, hole: Hole) -> str:
    """The text that the hole hides."""
    return file.text[hole.start : hole.end]


def without_middle(file: SourceFile, hole: Hole) -> str:
    """The file's text as the editor has it when the cursor stands at the hole's start."""
    return file.text[: hole.start] + file.text[hole.end :]


def fim_example(
    base: BaseModel, file: SourceFile, hole: Hole, config: ContextConfig, room: int
) -> Example:
    """The example of a hole; a middle that is too long is cut and then has no end token."""
    tree = parse(without_middle(file, hole), language_of(file.path))
    middle = base.encoder.encode_middle(middle_of(file, hole))[:MAX_MIDDLE_TOKENS]
    context = model_input(base, tree, file.path, hole.start, config=config, room=room - len(middle))
    return Example(context + middle, len(middle))


def training_examples(
    base: BaseModel,
    files: Sequence[SourceFile],
    *,
    config: ContextConfig,
    room: int,
    left_to_right: float,
    seed: int,
) -> Iterator[Example]:
    """Endless examples: a share of plain windows left to right, the rest FIM.

    Files are drawn by the square root of their length. `room` is the longest example in tokens;
    each may take a third of it to all of it, because a prompt that has learnt from short contexts
    only does harm in front of long ones (docs/experiments.md).
    """
    rng = random.Random(seed)
    weights = [len(file.text) ** 0.5 for file in files]
    by_kind = {file.path: _by_kind(file) for file in files}
    longest = room
    while True:
        room = rng.randint(longest // 3, longest)
        file = rng.choices(files, weights)[0]
        kinds = by_kind[file.path]
        if not kinds or rng.random() < left_to_right:
            ids = base.encoder.encode_file(file.path, _window(rng, file.text, room))[:room]
            yield Example(ids, len(ids))
            continue
        kind = rng.choices(list(kinds), [KIND_SHARES[kind] for kind in kinds])[0]
        hole = rng.choice(kinds[kind])
        if rng.random() < 0.5:  # the cursor is seldom at the very start of what is to come
            start = rng.randrange(hole.start, hole.end)
            hole = Hole(hole.kind, start, hole.end)
        yield fim_example(base, file, hole, config, room)


def held_out_holes(
    base: BaseModel,
    files: Sequence[SourceFile],
    *,
    config: ContextConfig,
    room: int,
    count: int,
    seed: int,
) -> list[HeldOutHole]:
    """About `count` holes, spread evenly over the files; kinds are drawn by their shares."""
    rng = random.Random(seed)
    found: list[HeldOutHole] = []
    per_file = max(2, -(-count // max(1, len(files))))
    for file in files:
        kinds = _by_kind(file)
        for _ in range(per_file):
            left = [kind for kind in kinds if kinds[kind]]
            if not left:
                break
            kind = rng.choices(left, [KIND_SHARES[kind] for kind in left])[0]
            hole = kinds[kind].pop(rng.randrange(len(kinds[kind])))
            example = fim_example(base, file, hole, config, room)
            middle = base.tokenizer.decode(example.ids[-example.scored :])
            size = min(len(middle.encode()), len(middle_of(file, hole).encode()))
            found.append(HeldOutHole(file, hole, example, size))
    rng.shuffle(found)
    return found[: max(count, 2 * len(files))]


def _by_kind(file: SourceFile) -> dict[HoleKind, list[Hole]]:
    kinds: dict[HoleKind, list[Hole]] = {}
    for hole in holes(parse(file.text, language_of(file.path))):
        if hole.end - hole.start >= MIN_HOLE:
            kinds.setdefault(hole.kind, []).append(hole)
    return kinds


def _window(rng: random.Random, text: str, room: int) -> str:
    """Part of a file from a line's start on; long enough for `room` tokens if the file is."""
    if len(text) <= 6 * room:
        return text
    start = text.find("\n", rng.randrange(len(text) - 4 * room)) + 1
    return text[start : start + 8 * room]
