"""The window of the open file around the cursor, within a budget of tokens on each side."""

from collections.abc import Callable

from code_context.positions import LineIndex

CHARACTERS_PER_TOKEN = 4  # upper estimate, for a single line that does not fit


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
        left -= count_tokens(lines.text[lines.starts[boundary] : end])
        if left < 0:
            break
        best = end = lines.starts[boundary]
        boundary -= block_lines
    if best is not None:
        return best
    left, start = max_tokens, offset
    while line >= 0:
        left -= count_tokens(lines.text[lines.starts[line] : start])
        if left < 0:
            break
        start = lines.starts[line]
        line -= 1
    if start < offset or offset == 0:
        return start
    size = min(offset - lines.starts[line], CHARACTERS_PER_TOKEN * max_tokens)
    while size and count_tokens(lines.text[offset - size : offset]) > max_tokens:
        size //= 2
    return offset - size


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
        left -= count_tokens(lines.text[end:stop])
        if left < 0:
            break
        end = stop
        line += block
    if end > offset or offset == len(lines.text):
        return end
    line, left = lines.line_of(offset) + 1, max_tokens
    while line < lines.line_count:
        left -= count_tokens(lines.text[end : lines.starts[line]])
        if left < 0:
            break
        end = lines.starts[line]
        line += 1
    if end > offset:
        return end
    size = lines.content_end(lines.line_of(offset)) - offset
    size = min(size, CHARACTERS_PER_TOKEN * max_tokens)
    while size and count_tokens(lines.text[offset : offset + size]) > max_tokens:
        size //= 2
    return offset + size
