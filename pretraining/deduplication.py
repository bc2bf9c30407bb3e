"""What a document shares with held-out packages and with earlier documents, by its shingles.

Shingles find it, not names, because packages contain copies of each other. The comment that a file
begins with does not count: it is most often the text of a licence, which says nothing of the code.
"""

import re
from collections.abc import Iterable

from code_context.shingles import shingles

MAX_SHARED = 0.5  # of a document's shingles in earlier documents; more: a near-duplicate
MAX_HELD_OUT = 0.1  # of a document's shingles in held-out packages
_HEADER = re.compile(r"(?:\s*(?:/\*.*?\*/|//[^\n]*|#[^\n]*))*", re.DOTALL)


def shingles_of(texts: Iterable[str]) -> frozenset[int]:
    """The shingles of all texts together."""
    return frozenset().union(*map(_shingles, texts))


def _shingles(text: str) -> set[int]:
    """Of what follows the first comment; of all if nothing does."""
    header = _HEADER.match(text)
    return shingles(text[header.end() if header else 0 :].strip() or text)


class Deduplication:
    """Refuses documents of the training side that share much with what came before."""

    def __init__(self, held_out: frozenset[int]) -> None:
        """`held_out` are the shingles of all held-out packages, of every language."""
        self._held_out = held_out
        self._seen: set[int] = set()

    def rejection(self, text: str) -> str | None:
        """The name of the rule that leaves a document out; None if it is new."""
        own = _shingles(text)
        if len(own & self._held_out) > MAX_HELD_OUT * len(own):
            return "held_out_content"
        if len(own & self._seen) > MAX_SHARED * len(own):
            return "near_duplicates"
        self._seen |= own
        return None
