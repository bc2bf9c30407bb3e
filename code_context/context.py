"""From a tree and a cursor to a `Context`: what the model is told, within a budget of tokens.

The same state gives the same context. Windows begin and end at lines and move in blocks, so that
typing and scrolling leave most of the token ids, and so the KV cache, as they were.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from code_context.positions import LineIndex
from code_context.syntax import Scope, SyntaxTree, enclosing_scopes, imports

CountTokens = Callable[[str], int]
SEPARATORS = 2  # tokens around a snippet
MIN_LINES = 5  # of a snippet that is cut to fit
SIGNATURE, IMPORT, MEMBER = 0, 1, 2  # ranks of the header's lines


Source = Literal["similar", "recent", "definition"]
STABILITY: tuple[Source, ...] = ("recent", "similar", "definition")
"""Sources by how seldom what they say changes while a person types; the most stable first."""


@dataclass(frozen=True)
class Snippet:
    """Code of another file of the repository, or of the open one away from the cursor.

    `score` compares snippets of one source, 1 being the best; `line` counts from 0.
    """

    path: str
    text: str
    source: Source = "similar"
    score: float = 0.0
    line: int = 0


@dataclass(frozen=True)
class Considered:
    """A candidate, and why it is not shown; no reason: it is.

    `tokens` is its price; where there was no room, that of the least that could have been shown.
    """

    snippet: Snippet
    tokens: int
    reason: Literal["no room", "shown already"] | None = None


@dataclass(frozen=True)
class Context:
    """What the model sees, in the order in which it changes least.

    `considered` holds every candidate, those that are shown and those that found no room.
    """

    path: str
    header: str
    snippets: tuple[Snippet, ...]
    prefix: str
    suffix: str
    considered: tuple[Considered, ...] = ()


@dataclass(frozen=True)
class ContextConfig:
    """Budgets in tokens of the model; windows move in blocks of `block_lines` lines.

    `sources` fill `max_snippet_tokens` in their order, each up to its own share of it; one that is
    not named is not shown. `order` is how they stand in the input.
    """

    max_prefix_tokens: int = 384
    max_suffix_tokens: int = 128
    max_header_tokens: int = 96
    max_snippet_tokens: int = 256
    block_lines: int = 16
    sources: tuple[tuple[Source, float], ...] = (
        ("recent", 0.25),
        ("similar", 0.75),
        ("definition", 1.0),
    )
    order: tuple[Source, ...] = STABILITY


def build_context(
    tree: SyntaxTree,
    path: str,
    offset: int,
    *,
    config: ContextConfig,
    count_tokens: CountTokens,
    snippets: Sequence[Snippet] = (),
) -> Context:
    """The context of a cursor. `path` is relative to the repository, with forward slashes.

    Of each source the best snippets that fit are taken; they stand by source, then by path.
    """
    start = _prefix_start(tree.lines, offset, config, count_tokens)
    end = _suffix_end(tree.lines, offset, config, count_tokens)
    around = tree.text[start:end]
    window = Snippet(path, around, "recent", line=tree.lines.line_of(start))
    considered = _within_budget(snippets, window, config, count_tokens)
    return Context(
        path=path,
        header=_within(
            file_header(tree, start, end, offset), config.max_header_tokens, count_tokens
        ),
        snippets=_in_order((one.snippet for one in considered if one.reason is None), config.order),
        prefix=tree.text[start:offset],
        suffix=tree.text[offset:end],
        considered=considered,
    )


def _within_budget(
    snippets: Sequence[Snippet], window: Snippet, config: ContextConfig, count_tokens: CountTokens
) -> tuple[Considered, ...]:
    """Every candidate with its price; taken are the best of each source that its share can pay.

    `window` is what the open file shows around the cursor.
    """
    left = config.max_snippet_tokens
    considered: list[Considered] = []
    for source, share in config.sources:
        mine = min(left, int(share * config.max_snippet_tokens))
        for snippet in snippets:
            if snippet.source != source:
                continue
            snippet, cost = _cut_to_fit(snippet, mine, count_tokens)
            shown = [one.snippet for one in considered if one.reason is None]
            if _meet(window, snippet) or any(_holds(one, snippet) for one in shown):
                considered.append(Considered(snippet, cost, "shown already"))
            elif cost > mine:
                considered.append(Considered(snippet, cost, "no room"))
            else:
                considered.append(Considered(snippet, cost))
                left, mine = left - cost, mine - cost
    return tuple(considered)


def _cut_to_fit(snippet: Snippet, budget: int, count_tokens: CountTokens) -> tuple[Snippet, int]:
    """A snippet and its price; of plain code that is too dear, the first lines that are not."""
    path = count_tokens(snippet.path) + SEPARATORS
    if path > budget:
        return snippet, path
    lines = snippet.text.splitlines(keepends=True)
    # counting what cannot be shown anyway would be most of the work
    least = lines[: 1 if snippet.source == "definition" else MIN_LINES]
    cost = path + count_tokens("".join(least))
    if cost > budget or len(least) == len(lines):
        return snippet, cost
    cost = path + count_tokens(snippet.text)
    if cost <= budget or snippet.source == "definition":
        return snippet, cost
    count = len(lines)
    while count > MIN_LINES:
        count = max(MIN_LINES, min(count - 1, count * budget // max(1, cost)))
        text = "".join(lines[:count])
        cost = path + count_tokens(text)
        if cost <= budget:
            return replace(snippet, text=text), cost
    return snippet, cost


def _holds(shown: Snippet, other: Snippet) -> bool:
    """Whether `other` begins within the lines that `shown` already shows of its file."""
    if shown.path != other.path or shown.source == "definition":
        return False
    return shown.line <= other.line < shown.line + len(shown.text.splitlines())


def _meet(window: Snippet, other: Snippet) -> bool:
    """Whether a region of the open file has lines in the window."""
    if window.path != other.path:
        return False
    first, last = window.line, window.line + len(window.text.splitlines())
    return first < other.line + len(other.text.splitlines()) and other.line < last


def _in_order(snippets: Iterable[Snippet], order: Sequence[Source]) -> tuple[Snippet, ...]:
    """By source, path and line; definitions of one file are one snippet."""
    ordered = sorted(
        snippets, key=lambda one: (order.index(one.source), one.path, one.line, one.text)
    )
    joined: list[Snippet] = []
    for one in ordered:
        last = joined[-1] if joined else None
        here = ("definition", one.path)
        if last is not None and (last.source, last.path) == here == (one.source, one.path):
            score = max(last.score, one.score)
            joined[-1] = replace(last, text=last.text + one.text, score=score)
        else:
            joined.append(one)
    return tuple(joined)


def file_header(
    tree: SyntaxTree, window_start: int, window_end: int, offset: int
) -> list[tuple[int, int, str]]:
    """Lines that the prefix window has cut away and a reader needs: the signatures of the scopes
    around the cursor with the members of the class among them and, before all, the file's imports.
    Empty when nothing is cut away.
    """
    if window_start == 0:
        return []
    around = [one for one in enclosing_scopes(tree, offset) if one.start < window_start]
    pieces: list[tuple[int, int, str]] = []  # (rank, place, text)
    for scope in around:
        pieces.append((SIGNATURE, scope.start, _signature(tree, scope, window_start)))
    classes = [scope for scope in around if scope.kind != "function"]
    for member in tree.members(classes[-1]) if classes else ():
        shown = window_start <= member.start < window_end
        if not shown and all(member.start != scope.start for scope in around):
            pieces.append((MEMBER, member.start, _signature(tree, member, len(tree.text))))
    for span in imports(tree):
        if span.end <= window_start:
            pieces.append((IMPORT, span.start, tree.text[span.start : span.end] + "\n"))
    return pieces


def _signature(tree: SyntaxTree, scope: Scope, limit: int) -> str:
    first = tree.lines.starts[tree.lines.line_of(scope.start)]
    return tree.text[first : min(scope.body_start, limit)].rstrip() + "\n"


def _within(pieces: list[tuple[int, int, str]], budget: int, count_tokens: CountTokens) -> str:
    """As many pieces as fit: by rank, of one rank the last ones first; in the file's order."""
    kept: list[tuple[int, str]] = []
    for _, place, text in sorted(pieces, key=lambda piece: (piece[0], -piece[1])):
        cost = count_tokens(text)
        if cost <= budget:
            kept.append((place, text))
            budget -= cost
    return "".join(text for _, text in sorted(kept))


def _prefix_start(
    lines: LineIndex, offset: int, config: ContextConfig, count_tokens: CountTokens
) -> int:
    """The earliest block boundary from which the text up to the cursor fits the budget."""
    line, left, end = lines.line_of(offset), config.max_prefix_tokens, offset
    best = None
    boundary = line - line % config.block_lines
    while boundary >= 0:
        left -= count_tokens(lines.text[lines.starts[boundary] : end])
        if left < 0:
            break
        best = end = lines.starts[boundary]
        boundary -= config.block_lines
    if best is not None:
        return best
    # the cursor's own block is too long: whole lines, then part of a line
    left, start = config.max_prefix_tokens, offset
    while line >= 0:
        left -= count_tokens(lines.text[lines.starts[line] : start])
        if left < 0:
            break
        start = lines.starts[line]
        line -= 1
    if start < offset or offset == 0:
        return start
    size = min(offset - lines.starts[line], 4 * config.max_prefix_tokens)
    while size and count_tokens(lines.text[offset - size : offset]) > config.max_prefix_tokens:
        size //= 2
    return offset - size


def _suffix_end(
    lines: LineIndex, offset: int, config: ContextConfig, count_tokens: CountTokens
) -> int:
    """The last block boundary, counted from the file's end, up to which the suffix fits.

    Counted from the end, because lines typed at the cursor must not move it.
    """
    block = max(1, config.block_lines // 4)
    line, left, end = lines.line_of(offset) + 1, config.max_suffix_tokens, offset
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
    # not even one block fits: whole lines, else a part of the cursor's own
    line, left = lines.line_of(offset) + 1, config.max_suffix_tokens
    while line < lines.line_count:
        left -= count_tokens(lines.text[end : lines.starts[line]])
        if left < 0:
            break
        end = lines.starts[line]
        line += 1
    if end > offset:
        return end
    size = min(lines.content_end(lines.line_of(offset)) - offset, 4 * config.max_suffix_tokens)
    while size and count_tokens(lines.text[offset : offset + size]) > config.max_suffix_tokens:
        size //= 2
    return offset + size
