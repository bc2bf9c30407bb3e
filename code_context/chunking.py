"""Split a file into chunks for full-text search, preferably at definitions."""

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
    """Chunks of `MIN_LINES` to `MAX_LINES` lines, split at `starts` where possible.

    `starts` are the lines on which definitions start, ascending. Every line that is not in a blank
    chunk is in exactly one chunk.
    """
    lines = text.splitlines(keepends=True)
    chunks, begin = [], 0
    borders = [start for start in starts if 0 < start < len(lines)] + [len(lines)]
    for position, border in enumerate(borders):
        next_border = borders[position + 1] if position + 1 < len(borders) else border
        # continue if the next definition also fits, or if this chunk would be too small
        if next_border > border and next_border - begin <= MAX_LINES:
            continue
        if border - begin < MIN_LINES and next_border > border:
            continue
        while begin < border:
            end = border if border - begin <= MAX_LINES else begin + MAX_LINES
            chunk = "".join(lines[begin:end])
            if chunk.strip():
                chunks.append(Chunk(begin, chunk[:MAX_CHARACTERS]))
            begin = end
    return chunks
