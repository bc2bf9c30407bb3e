"""Match paths against patterns of parts without backtracking.

Patterns come from strangers' files. A translation to one regular expression, as libraries make it,
needs exponential time on some; here the time is proportional to the parts of the path times those
of the pattern.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

PatternPart = Callable[[str], Any]
"""Whether (true or false in a condition) a part of a path matches."""


def any_depth(part: str) -> bool:
    """Stand for `**`: any number of parts of a path."""
    return True


def matched_depths(parts: Sequence[str], pattern: Sequence[PatternPart]) -> Iterator[int]:
    """The numbers n for which the first n `parts` of a path match the whole `pattern`.

    The pattern runs as a nondeterministic automaton: a state is the index of its next part, and one
    past the end is a match. `any_depth` matches any number of parts.
    """
    states = _skip_any_depth({0}, pattern)
    for depth, part in enumerate(parts, 1):
        states = _skip_any_depth(
            {
                state if pattern[state] is any_depth else state + 1
                for state in states
                if state < len(pattern) and pattern[state](part)
            },
            pattern,
        )
        if len(pattern) in states:
            yield depth
        if not states:
            return


def _skip_any_depth(states: set[int], pattern: Sequence[PatternPart]) -> set[int]:
    """`states`, and those behind each `any_depth`, which may match no part at all."""
    reached = set(states)
    for state in sorted(states):
        while state < len(pattern) and pattern[state] is any_depth:
            state += 1
            reached.add(state)
    return reached
