"""Snippets of other files of the same package, retrieved by rare names.

Training rows and the evaluation use the same rule: files that share rare identifiers with the text
around the cursor, and of these files the lines around such a name.
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
MAX_HOLDERS = 24  # files; a name in more files is not rare
MAX_FILES = 4  # whose chunks are scored
MAX_OCCURRENCES = 3  # of one name in one file
DEFINITION_WEIGHT = 2.0  # a name's definition counts as two of its uses


class Retrieval:
    """An index of one package's identifiers, built at the first use unless `holders` is set."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self.documents = documents
        self.holders: dict[str, list[int]] | None = None

    def chosen(self, near: str, path: str, rng: random.Random, count: int) -> list[Snippet]:
        """At most `count` chunks of other files for the text `near` a cursor in the file `path`.

        Best first, at most one of each file; fewer where fewer files share a rare name.
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
        chunks = [scored for index in best for scored in self._chunks(index, weights, rng)]
        chunks.sort(key=lambda scored: -scored[0])
        chosen: dict[str, Snippet] = {}
        for _, snippet in chunks:
            if len(chosen) < count:
                chosen.setdefault(snippet.path, snippet)
        return list(chosen.values())

    def index(self) -> dict[str, list[int]]:
        """Numbers of the documents that contain each rare name."""
        holders: dict[str, list[int]] = {}
        for index, document in enumerate(self.documents):
            for name in set(IDENTIFIER.findall(document.text)):
                holders.setdefault(name, []).append(index)
        return {name: numbers for name, numbers in holders.items() if len(numbers) <= MAX_HOLDERS}

    def _chunks(
        self, index: int, weights: dict[str, float], rng: random.Random
    ) -> list[tuple[float, Snippet]]:
        """Chunks of one file that begin just before a rare name, with their scores."""
        document = self.documents[index]
        lines = document.text.splitlines(keepends=True)
        begins = [0, *itertools.accumulate(map(len, lines))]
        starts: set[int] = set()
        for name in weights:
            starts |= {max(0, number - 2) for number in _lines_with(document.text, begins, name)}
        chunks = []
        for start in sorted(starts)[:24]:
            text = "".join(lines[start : start + rng.randint(*CHUNK_LINES)])
            used = set(IDENTIFIER.findall(text)) & weights.keys()
            defined = set(DEFINITION.findall(text)) & weights.keys()
            # sorted: sums of floats depend on their order, and sets have none
            score = sum(weights[name] for name in sorted(used))
            score += (DEFINITION_WEIGHT - 1) * sum(weights[name] for name in sorted(defined))
            chunks.append((score, Snippet(document.path, text)))
        return chunks


def _lines_with(text: str, begins: Sequence[int], name: str) -> list[int]:
    """Numbers of the first lines with a name; `begins`: offsets of all lines, and of the end."""
    lines: list[int] = []
    offset = text.find(name)
    while offset >= 0 and len(lines) < MAX_OCCURRENCES:
        lines.append(bisect_right(begins, offset) - 1)
        offset = text.find(name, begins[lines[-1] + 1])
    return lines


def random_chunk(document: Document, rng: random.Random) -> Snippet:
    """Consecutive lines of a file, drawn at random."""
    lines = document.text.splitlines(keepends=True)
    start = rng.randrange(max(1, len(lines) - CHUNK_LINES[1] // 2))
    return Snippet(document.path, "".join(lines[start : start + rng.randint(*CHUNK_LINES)]))
