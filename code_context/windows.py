"""The window of the open file around the cursor, within a budget of tokens on each side."""

from collections.abc import Callable, Iterator

from code_context.positions import LineIndex

CHARACTERS_PER_TOKEN = 4  # estimate, for the blocks of a single line that does not fit
BLOCKS_PER_LINE_WINDOW = 4  # a window inside a line moves in blocks of a quarter of its size
MAX_CHARACTERS_PER_TOKEN = 64
"""Longer text per token does not occur: it exceeds a budget without being counted, because
counting is linear in the length of a line."""


def prefix_start(
    lines: LineIndex,
    offset: int,
    max_tokens: int,
    block_lines: int,
    count_tokens: Callable[[str], int],
) -> int:
    """The earliest start of a block from which the text up to the cursor fits the budget.

    Blocks are counted from the file's start. If the cursor's own block does not fit: the start of
    a line; if the cursor's line does not fit: an offset in it.
    """
    line, left, end = lines.line_of(offset), max_tokens, offset
    best = None
    boundary = line - line % block_lines
    while boundary >= 0:
        left -= _count(lines.text, lines.starts[boundary], end, left, count_tokens)
        if left < 0:
            break
        best = end = lines.starts[boundary]
        boundary -= block_lines
    if best is not None:
        return best
    left, start = max_tokens, offset
    while line >= 0:
        left -= _count(lines.text, lines.starts[line], start, left, count_tokens)
        if left < 0:
            break
        start = lines.starts[line]
        line -= 1
    if start < offset or offset == 0:
        return start
    # `line` alone does not fit: blocks inside it are counted from its start
    for block in _block_sizes(max_tokens):
        length = offset - lines.starts[line]
        first = -(-max(0, length - CHARACTERS_PER_TOKEN * max_tokens) // block)
        for n in range(first, length // block + 1):
            start = lines.starts[line] + n * block
            if start < offset and count_tokens(lines.text[start:offset]) <= max_tokens:
                return start
    return offset


def suffix_end(
    lines: LineIndex,
    offset: int,
    max_tokens: int,
    block_lines: int,
    count_tokens: Callable[[str], int],
) -> int:
    """The last end of a block up to which the text from the cursor on fits the budget.

    Blocks are a quarter of `block_lines` long and counted from the file's end, because lines that
    are inserted at the cursor must not move them. If no block fits: the end of a line; if no line
    fits: an offset in the cursor's line.
    """
    block = max(1, block_lines // 4)
    line, left, end = lines.line_of(offset) + 1, max_tokens, offset
    line += (lines.line_count - line) % block
    while line <= lines.line_count:
        stop = lines.starts[line] if line < lines.line_count else len(lines.text)
        left -= _count(lines.text, end, stop, left, count_tokens)
        if left < 0:
            break
        end = stop
        line += block
    if end > offset or offset == len(lines.text):
        return end
    line, left = lines.line_of(offset) + 1, max_tokens
    while line < lines.line_count:
        left -= _count(lines.text, end, lines.starts[line], left, count_tokens)
        if left < 0:
            break
        end = lines.starts[line]
        line += 1
    if end > offset:
        return end
    # blocks inside the cursor's line are counted from its end
    line_end = lines.content_end(lines.line_of(offset))
    for block in _block_sizes(max_tokens):
        length = line_end - offset
        first = -(-max(0, length - CHARACTERS_PER_TOKEN * max_tokens) // block)
        for n in range(first, length // block + 1):
            end = line_end - n * block
            if end > offset and count_tokens(lines.text[offset:end]) <= max_tokens:
                return end
    return offset


def _count(
    text: str, start: int, end: int, max_tokens: int, count_tokens: Callable[[str], int]
) -> int:
    """The tokens of `text[start:end]`; of a text that is too long for the budget, an estimate."""
    if end - start > MAX_CHARACTERS_PER_TOKEN * (max_tokens + 1):
        return max_tokens + 1
    return count_tokens(text[start:end])


def _block_sizes(max_tokens: int) -> Iterator[int]:
    """Characters per block inside a line: halved where tokens are short."""
    block = CHARACTERS_PER_TOKEN * max_tokens // BLOCKS_PER_LINE_WINDOW
    while block:
        yield block
        block //= 2
