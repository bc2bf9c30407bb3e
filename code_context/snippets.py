"""Snippets of other files, and the choice of those that fit a budget of tokens."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

PATH_SEPARATORS = 2  # tokens that mark the path of a snippet in the input
MIN_LINES = 5  # a snippet is not cut to fewer lines

SnippetSource = Literal["similar", "recent", "definition"]
SNIPPET_SOURCES: tuple[SnippetSource, ...] = ("recent", "similar", "definition")
"""All sources; first those whose snippets change least often while the user types."""


@dataclass(frozen=True)
class Snippet:
    """Code of another file, or of the open file outside the window around the cursor.

    `score` compares snippets of the same source; the maximum is 1. `line` counts from 0.
    """

    path: str
    text: str
    source: SnippetSource = "similar"
    score: float = 0.0
    line: int = 0


@dataclass(frozen=True)
class SnippetCandidate:
    """A snippet that was considered; `reason` says why it is not used, None if it is.

    `tokens` is its cost; with the reason "no room", that of the shortest usable part.
    """

    snippet: Snippet
    tokens: int
    reason: Literal["no room", "shown already"] | None = None


def select_snippets(
    snippets: Sequence[Snippet],
    window: Snippet,
    max_tokens: int,
    shares: Sequence[tuple[SnippetSource, float]],
    count_tokens: Callable[[str], int],
) -> tuple[SnippetCandidate, ...]:
    """Every snippet as a candidate; used are the first ones of each source that fit its share.

    `window` is the part of the open file around the cursor. A share is a fraction of `max_tokens`.
    """
    left = max_tokens
    candidates: list[SnippetCandidate] = []
    used: list[Snippet] = []
    for source, share in shares:
        source_left = min(left, int(share * max_tokens))
        for snippet in snippets:
            if snippet.source != source:
                continue
            snippet, cost = _cut_to_fit(snippet, source_left, count_tokens)
            if _overlaps(window, snippet) or any(_includes(other, snippet) for other in used):
                candidates.append(SnippetCandidate(snippet, cost, "shown already"))
            elif cost > source_left:
                candidates.append(SnippetCandidate(snippet, cost, "no room"))
            else:
                candidates.append(SnippetCandidate(snippet, cost))
                used.append(snippet)
                left, source_left = left - cost, source_left - cost
    return tuple(candidates)


def _cut_to_fit(
    snippet: Snippet, max_tokens: int, count_tokens: Callable[[str], int]
) -> tuple[Snippet, int]:
    """A snippet and its cost in tokens. Code that does not fit is cut at the end, if possible;
    outlines of definitions are not cut.
    """
    path_cost = count_tokens(snippet.path) + PATH_SEPARATORS
    if path_cost > max_tokens:
        return snippet, path_cost
    lines = snippet.text.splitlines(keepends=True)
    # first count the shortest usable part: counting all of what cannot fit would be slow
    shortest = lines[: 1 if snippet.source == "definition" else MIN_LINES]
    cost = path_cost + count_tokens("".join(shortest))
    if cost > max_tokens or len(shortest) == len(lines):
        return snippet, cost
    cost = path_cost + count_tokens(snippet.text)
    if cost <= max_tokens or snippet.source == "definition":
        return snippet, cost
    count = len(lines)
    while count > MIN_LINES:
        count = max(MIN_LINES, min(count - 1, count * max_tokens // max(1, cost)))
        text = "".join(lines[:count])
        cost = path_cost + count_tokens(text)
        if cost <= max_tokens:
            return replace(snippet, text=text), cost
    return snippet, cost


def _includes(used: Snippet, other: Snippet) -> bool:
    """Whether `other` starts in the lines of its file that `used` shows."""
    if used.path != other.path or used.source == "definition":
        return False
    return used.line <= other.line < used.line + len(used.text.splitlines())


def _overlaps(window: Snippet, other: Snippet) -> bool:
    """Whether a snippet of the open file has lines in the window."""
    if window.path != other.path:
        return False
    first, end = window.line, window.line + len(window.text.splitlines())
    return first < other.line + len(other.text.splitlines()) and other.line < end


def arrange(snippets: Iterable[Snippet], order: Sequence[SnippetSource]) -> tuple[Snippet, ...]:
    """Sort by source, path and line; definitions of one file are joined into one snippet."""
    ordered = sorted(
        snippets, key=lambda one: (order.index(one.source), one.path, one.line, one.text)
    )
    arranged: list[Snippet] = []
    for snippet in ordered:
        last = arranged[-1] if arranged else None
        if (
            last is not None
            and last.source == snippet.source == "definition"
            and last.path == snippet.path
        ):
            score = max(last.score, snippet.score)
            arranged[-1] = replace(last, text=last.text + snippet.text, score=score)
        else:
            arranged.append(snippet)
    return tuple(arranged)
