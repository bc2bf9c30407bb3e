"""Match paths against patterns of parts without backtracking.

Patterns come from strangers' files. A translation to one regular expression, as libraries make it,
needs exponential time on some; here the time is proportional to the parts of the path times those
of the pattern.
"""

import fnmatch
from collections.abc import Iterator, Sequence

ANY_DEPTH = "**"


def matched_depths(parts: Sequence[str], pattern: Sequence[str]) -> Iterator[int]:
    """The numbers n for which the first n `parts` of a path match the whole `pattern`.

    A part of the pattern is in the syntax of `fnmatch` or `ANY_DEPTH`, which is any number of
    parts. The pattern runs as a nondeterministic automaton: a state is the index of its next part,
    and one past the end is a match.
    """
    states = _skip_any_depth({0}, pattern)
    for depth, part in enumerate(parts, 1):
        # fnmatch's own expressions do not backtrack within one part.
        states = _skip_any_depth(
            {
                state if pattern[state] == ANY_DEPTH else state + 1
                for state in states
                if state < len(pattern)
                and (pattern[state] == ANY_DEPTH or fnmatch.fnmatchcase(part, pattern[state]))
            },
            pattern,
        )
        if len(pattern) in states:
            yield depth
        if not states:
            return


def _skip_any_depth(states: set[int], pattern: Sequence[str]) -> set[int]:
    """`states`, and those behind each `**`, which may match no part at all."""
    reached = set(states)
    for state in sorted(states):
        while state < len(pattern) and pattern[state] == ANY_DEPTH:
            state += 1
            reached.add(state)
    return reached
