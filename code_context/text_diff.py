"""The difference between two versions of a text, as a single changed span."""

from typing import TypeVar

Text = TypeVar("Text", str, bytes)


def changed_span(old: Text, new: Text) -> tuple[int, int, int]:
    """(start, end in `old`, end in `new`) of the smallest span that contains all differences."""
    start = _common_prefix(old, new)
    shorter = min(len(old), len(new)) - start
    tail = _common_prefix(old[::-1][:shorter], new[::-1][:shorter])
    return start, len(old) - tail, len(new) - tail


def _common_prefix(one: Text, other: Text) -> int:
    """Length of the common prefix, by bisection: comparing slices is fast."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
