"""Which context serves a repository best: a search over the context's own parameters.

The model is frozen and no prompt stands in front, so nothing is learnt but the choice. It is made
on one half of the files to tune on and has to prove itself on the other half; the files that choose
and prove the prompt are not looked at. Every candidate asks for as many tokens as the default at
most, so that a better context is not just a longer and slower one.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from code_context.context import ContextConfig, Snippet, Source
from code_context.retrieval import Retriever
from code_context.syntax import SyntaxTree, language_of, parse
from code_model.decoder.soft_prompt import prefix_kv
from code_model.loading import BaseModel
from completion.pipeline import MAX_NEW_TOKENS, context_with
from tuning.corpus import SourceFile
from tuning.evaluate import Gain, middle_nats, paired_gain
from tuning.examples import Example, HeldOutHole, held_out_holes, without_middle
from tuning.split import digest

CHOOSING, CONFIRMING = 64, 128  # holes, where the time is enough for so many
MIN_HOLES = 16
TRIAL = 8  # holes that tell what one costs
HOLES_OF_FILE = 2
HALVINGS = 2  # looks at a part of the holes before the better half of the candidates sees them all
PASSES = 2  # over the coordinates
LOOKS_OF_HOLE = 8  # what one pass costs, about, for each hole to choose by
LOOKS_TO_CONFIRM = 6  # the default, the best, and the best without each of its parts
CHOOSING_SHARE = 0.5  # of the time; the rest confirms and leaves out

DEFAULT = ContextConfig()
# tokens before the cursor, behind it, of the header, of other files
WINDOWS = (
    (384, 128, 96, 256),
    (640, 128, 96, 0),
    (512, 128, 96, 128),
    (256, 96, 96, 416),
    (288, 224, 96, 256),
    (480, 128, 0, 256),
    (288, 128, 192, 256),
)
# who is paid first, and up to which share; what was recently edited is not tried, because files at
# rest have nothing of it
RECENT: tuple[Source, float] = ("recent", 0.25)
SHARES: tuple[tuple[tuple[Source, float], ...], ...] = (
    (("similar", 0.75), ("definition", 1.0)),
    (("definition", 0.75), ("similar", 1.0)),
    (("similar", 0.4), ("definition", 1.0)),
    (("similar", 1.0),),
    (("definition", 1.0),),
)
ORDERS: tuple[tuple[Source, ...], ...] = (
    ("recent", "similar", "definition"),
    ("recent", "definition", "similar"),
)
SIZES = (len(WINDOWS), len(SHARES), len(ORDERS))
START = (0, 0, 0)  # the default

Point = tuple[int, int, int]
"""A candidate, by its places in `WINDOWS`, `SHARES` and `ORDERS`."""


def config_at(point: Point) -> ContextConfig:
    """The context of a candidate."""
    windows, shares, order = point
    before, behind, header, snippets = WINDOWS[windows]
    return replace(
        DEFAULT,
        max_prefix_tokens=before,
        max_suffix_tokens=behind,
        max_header_tokens=header,
        max_snippet_tokens=snippets,
        sources=(RECENT, *SHARES[shares]),
        order=ORDERS[order],
    )


@dataclass(frozen=True)
class ContextFound:
    """What the search found. `point` is what serves: the `best` candidate if it was `taken`, else
    the default. `gain` (share of bits saved against the default, on files that did not choose it)
    is None where the default was the best. `sections` holds the share of bits that each part of
    `config` saves there, against leaving it out.
    """

    best: Point
    gain: Gain | None
    tried: int
    files: int
    holes: int
    sections: Mapping[str, Gain] = field(default_factory=dict)

    @property
    def taken(self) -> bool:
        """Whether the best candidate proved to be better than the default."""
        return self.gain is not None and self.gain.proven

    @property
    def point(self) -> Point:
        """The candidate to tune and to serve with."""
        return self.best if self.taken else START

    @property
    def config(self) -> ContextConfig:
        """Its context."""
        return config_at(self.point)

    def to_json(self) -> dict[str, Any]:
        """The figures, for the prompt file."""
        return {
            "taken": self.taken,
            "tried": self.tried,
            "files": self.files,
            "holes": self.holes,
            "gain": None if self.gain is None else self.gain.to_json(),
            "sections": {name: gain.to_json() for name, gain in self.sections.items()},
        }


def search_context(
    base: BaseModel,
    files: Sequence[SourceFile],
    others: Retriever,
    *,
    room: int,
    seed: int,
    progress: Callable[[float], None] = lambda done: None,
    spent: Callable[[], float] = lambda: 0.0,
) -> ContextFound:
    """Choose on one half of `files`, confirm on the other.

    `others` is what speaks for the other files; `room` (tokens) is what a context has in serving.
    `progress` hears the share done, `spent` says how much of the time is gone (0 to 1): when that
    is `CHOOSING_SHARE`, the best candidate so far is confirmed.
    """
    ordered = sorted(files, key=lambda file: digest(f"{seed}/{file.path}"))
    choosing = _Measured(base, _places(base, ordered[::2], others, CHOOSING, seed), room)
    before = spent()
    choosing.nats(DEFAULT, TRIAL)
    cost = (spent() - before) / TRIAL  # share of the time for one look at one hole
    count = _affordable(CHOOSING, CHOOSING_SHARE, cost * LOOKS_OF_HOLE)
    search = _Search(choosing, min(count, len(choosing.places)), progress, spent)
    best = search.best() if choosing.places else START
    count = _affordable(CONFIRMING, 1 - spent(), cost * LOOKS_TO_CONFIRM)
    measured = _Measured(base, _places(base, ordered[1::2], others, count, seed), room)
    gain = None
    if best != START and measured.places:
        gain = measured.gain(DEFAULT, config_at(best), seed)
    found = ContextFound(
        best,
        gain,
        search.tried,
        len({place.hole.file.path for place in measured.places}),
        len(measured.places),
    )
    sections = {}
    left_out = _left_out(found.config)
    for done, (name, without) in enumerate(left_out.items()):
        progress(CHOOSING_SHARE + (1 - CHOOSING_SHARE) * (1 + done) / (1 + len(left_out)))
        if measured.places:
            sections[name] = measured.gain(without, found.config, seed)
    progress(1.0)
    return replace(found, sections=sections)


def _affordable(most: int, time: float, cost: float) -> int:
    """Holes that the time is enough for."""
    return most if cost <= 0 else max(MIN_HOLES, min(most, int(time / cost)))


def room_of(base: BaseModel, num_virtual_tokens: int) -> int:
    """Tokens of a context in serving, behind a prompt and before what is generated."""
    positions = base.model.config.max_position_embeddings
    return positions - num_virtual_tokens - max(MAX_NEW_TOKENS.values())


@dataclass(frozen=True)
class _Place:
    """A hole with everything that no parameter changes."""

    hole: HeldOutHole
    tree: SyntaxTree
    found: Sequence[Snippet]
    middle: list[int]


def _places(
    base: BaseModel, files: Sequence[SourceFile], others: Retriever, count: int, seed: int
) -> list[_Place]:
    drawn = random.Random(seed).sample(files, min(len(files), count // HOLES_OF_FILE))
    holes = held_out_holes(base, drawn, config=DEFAULT, room=256, count=count, seed=seed)[:count]
    places = []
    for hole in holes:
        path, offset = hole.file.path, hole.hole.start
        tree = parse(without_middle(hole.file, hole.hole), language_of(path))
        middle = hole.example.ids[-hole.example.scored :]
        places.append(_Place(hole, tree, others.snippets(tree, path, offset), middle))
    return places


class _Measured:
    """Nats of each hole's middle behind each context, computed once and as far as asked."""

    def __init__(self, base: BaseModel, places: list[_Place], room: int) -> None:
        self.places = places
        self._base, self._room = base, room
        self._prefix = prefix_kv(base, None)
        self._known: dict[ContextConfig, NDArray[np.float64]] = {}

    def nats(self, config: ContextConfig, count: int) -> NDArray[np.float64]:
        """Of the first `count` holes."""
        known = self._known.get(config, np.zeros(0))
        if len(known) < count:
            examples = [self._example(place, config) for place in self.places[len(known) : count]]
            more = middle_nats(self._base.model, self._prefix, examples)
            known = self._known[config] = np.concatenate((known, more))
        return known[:count]

    def _example(self, place: _Place, config: ContextConfig) -> Example:
        context = context_with(
            self._base,
            place.tree,
            place.hole.file.path,
            place.hole.hole.start,
            place.found,
            config=config,
            room=self._room,
        )
        return Example([*self._base.encoder.encode(context), *place.middle], len(place.middle))

    def gain(self, before: ContextConfig, after: ContextConfig, seed: int) -> Gain:
        """Share of bits saved by one context against another, with its interval over files."""
        count = len(self.places)
        holes = [place.hole for place in self.places]
        return paired_gain(self.nats(before, count), self.nats(after, count), holes, seed)


class _Search:
    """Coordinate by coordinate; within one, successive halving on the same holes for all."""

    def __init__(
        self,
        measured: _Measured,
        holes: int,
        progress: Callable[[float], None],
        spent: Callable[[], float],
    ) -> None:
        self._measured, self._holes = measured, holes
        self._progress, self._spent = progress, spent
        self._steps = 0
        self._seen: set[Point] = {START}

    @property
    def tried(self) -> int:
        """Candidates that were looked at, the default among them."""
        return len(self._seen)

    def best(self) -> Point:
        """The best candidate found in the time, the default among them."""
        best = START
        for _ in range(PASSES):
            before = best
            for coordinate, size in enumerate(SIZES):
                best = self._best_along(coordinate, size, best)
            if best == before:
                break
        return best

    def _best_along(self, coordinate: int, size: int, present: Point) -> Point:
        left = [present]
        for value in range(size):
            point = (*present[:coordinate], value, *present[coordinate + 1 :])
            if point != present:
                left.append(point)  # type: ignore[arg-type]  # three numbers, as before
        for halving in range(HALVINGS, -1, -1):
            count = max(1, self._holes >> halving)
            losses: dict[Point, float] = {}
            for point in left:
                if self._is_over():
                    return present
                self._seen.add(point)
                losses[point] = float(self._measured.nats(config_at(point), count).sum())
            # sorting is stable: of equals, the present one stays
            ranked = sorted(left, key=losses.__getitem__)
            keep = 1 if halving == 0 else -(-len(left) // 2)
            left = ranked[:keep]
            if halving and present not in left:
                left.insert(0, present)  # it is what the others are to beat
        return left[0]

    def _is_over(self) -> bool:
        """Whether the time to choose is over; tells how far the search is."""
        self._steps += 1
        spent, asked = self._spent(), PASSES * (HALVINGS + 1) * sum(SIZES) // 2
        self._progress(min(CHOOSING_SHARE, max(spent, CHOOSING_SHARE * self._steps / asked)))
        return spent >= CHOOSING_SHARE


def _left_out(config: ContextConfig) -> dict[str, ContextConfig]:
    """The context without one of its parts, by the part's name."""
    parts = {
        "suffix": replace(config, max_suffix_tokens=0),
        "header": replace(config, max_header_tokens=0),
    }
    if config.max_snippet_tokens:
        for name, _ in config.sources:
            if name != RECENT[0]:
                rest = tuple(one for one in config.sources if one[0] != name)
                parts[name] = replace(config, sources=rest)
    return {name: without for name, without in parts.items() if without != config}
