"""Code of other files of the same package that a colleague would look at: chosen by rare names.

Rows for training and the evaluation choose by the same rule: files that share rare identifiers
with the text around the cursor, and of these the lines around where such a name stands.
"""

import itertools
import math
import random
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence

from code_context.snippets import Snippet
from pretraining.corpus import Document

IDENTIFIER = re.compile(r"[A-Za-z_]\w{3,}")
DEFINITION = re.compile(r"^[ \t]*(?:async )?(?:def|class) (\w+)", re.MULTILINE)
CHUNK_LINES = (6, 24)
MAX_HOLDERS = 24  # files; a name that more of them use says little about which one to read
MAX_FILES = 4  # of which chunks are compared
MAX_PLACES = 3  # of one name in one file
DEFINED = 2.0  # a name's definition is worth as much as two of its uses


class Retrieval:
    """An index of one package's identifiers, made when it is first asked if none is given."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self.documents = documents
        self.holders: dict[str, list[int]] | None = None

    def chosen(self, near: str, path: str, rng: random.Random, count: int) -> list[Snippet]:
        """At most `count` chunks of other files for the text `near` a cursor of the file `path`.

        Best first; fewer, or none, when no other file shares a rare name.
        """
        holders = self.holders = self.index() if self.holders is None else self.holders
        weights = {
            name: math.log(len(self.documents) / len(holders[name]))
            for name in set(IDENTIFIER.findall(near))
            if name in holders
        }
        scores: Counter[int] = Counter()
        for name, weight in sorted(weights.items()):
            for index in holders[name]:
                if self.documents[index].path != path:
                    scores[index] += weight  # type: ignore[assignment]
        best = sorted(scores, key=lambda index: (-scores[index], index))[:MAX_FILES]
        found = [scored for index in best for scored in self._chunks(index, weights, rng)]
        found.sort(key=lambda scored: -scored[0])
        kept: list[Snippet] = []
        for _, snippet in found:
            if len(kept) < count and all(one.path != snippet.path for one in kept):
                kept.append(snippet)
        return kept

    def index(self) -> dict[str, list[int]]:
        """Numbers of the documents that have a name, for every name that is rare enough to tell."""
        holders: dict[str, list[int]] = {}
        for index, document in enumerate(self.documents):
            for name in set(IDENTIFIER.findall(document.text)):
                holders.setdefault(name, []).append(index)
        return {name: held for name, held in holders.items() if len(held) <= MAX_HOLDERS}

    def _chunks(
        self, index: int, weights: dict[str, float], rng: random.Random
    ) -> list[tuple[float, Snippet]]:
        """Chunks of one file that begin at or shortly before a wanted name, with their scores."""
        document = self.documents[index]
        lines = document.text.splitlines(keepends=True)
        begins = [0, *itertools.accumulate(map(len, lines))]
        starts: set[int] = set()
        for name in weights:
            starts |= {max(0, number - 2) for number in _places(document.text, begins, name)}
        found = []
        for start in sorted(starts)[:24]:
            text = "".join(lines[start : start + rng.randint(*CHUNK_LINES)])
            named = set(IDENTIFIER.findall(text)) & weights.keys()
            defined = set(DEFINITION.findall(text)) & weights.keys()
            # sorted: sums of floats depend on their order, and sets have none
            score = sum(weights[name] for name in sorted(named))
            score += (DEFINED - 1) * sum(weights[name] for name in sorted(defined))
            found.append((score, Snippet(document.path, text)))
        return found


def _places(text: str, begins: Sequence[int], name: str) -> list[int]:
    """Numbers of the first lines that hold a name; `begins`: offsets of all lines, and the end."""
    found: list[int] = []
    at = text.find(name)
    while at >= 0 and len(found) < MAX_PLACES:
        found.append(bisect_right(begins, at) - 1)
        at = text.find(name, begins[found[-1] + 1])
    return found


def random_chunk(document: Document, rng: random.Random) -> Snippet:
    """Some lines of a file."""
    lines = document.text.splitlines(keepends=True)
    start = rng.randrange(max(1, len(lines) - CHUNK_LINES[1] // 2))
    return Snippet(document.path, "".join(lines[start : start + rng.randint(*CHUNK_LINES)]))
