"""Pieces of files that are worth showing whole: some lines each, begun where something begins."""

import re
from dataclasses import dataclass

IDENTIFIER = re.compile(r"[^\W\d]\w*")
MIN_LINES, MAX_LINES = 6, 24
MAX_CHARACTERS = 2_000


@dataclass(frozen=True)
class Chunk:
    """Consecutive lines of a file; `line` counts from 0."""

    line: int
    text: str


def split_into_chunks(text: str, starts: list[int]) -> list[Chunk]:
    """A file in pieces of `MIN_LINES` to `MAX_LINES` lines, cut at `starts` where possible.

    `starts` are lines, ascending, on which definitions begin. Every line is in one chunk.
    """
    lines = text.splitlines(keepends=True)
    found, begin = [], 0
    borders = [start for start in starts if 0 < start < len(lines)] + [len(lines)]
    for position, border in enumerate(borders):
        following = borders[position + 1] if position + 1 < len(borders) else border
        # go on while the next border still fits, or while the piece is too small to stand alone
        if following > border and following - begin <= MAX_LINES:
            continue
        if border - begin < MIN_LINES and following > border:
            continue
        while begin < border:
            end = border if border - begin <= MAX_LINES else begin + MAX_LINES
            piece = "".join(lines[begin:end])
            if piece.strip():
                found.append(Chunk(begin, piece[:MAX_CHARACTERS]))
            begin = end
    return found
