"""The query of retrieval: code around the cursor, weighted by its distance."""

import re
from dataclasses import dataclass

from code_context.scopes import enclosing_scopes
from code_context.syntax import Span, SyntaxTree

LINES_BEFORE, LINES_AFTER = 16, 4
SIGNATURE_WEIGHT = 0.7  # of the signatures of enclosing scopes
HALF_WEIGHT_DISTANCE = 8  # lines from the cursor at which the weight is half
LAST_WORD = re.compile(r"\w*$")


@dataclass(frozen=True)
class QueryPart:
    """Code without strings and comments, and its weight (1 on the cursor's line)."""

    text: str
    weight: float


def query_parts(tree: SyntaxTree, offset: int) -> list[QueryPart]:
    """The lines around the cursor and the signatures of its scopes.

    The word before the cursor is left out: it may be unfinished.
    """
    lines, text = tree.lines, tree.text
    cursor_line = lines.line_of(offset)
    first = max(0, cursor_line - LINES_BEFORE)
    last = min(lines.line_count - 1, cursor_line + LINES_AFTER)
    window = Span(lines.starts[first], lines.content_end(last))
    not_code = [
        span for kind in ("string", "comment") for span in tree.spans("syntax", kind, window)
    ]
    word = LAST_WORD.search(text[lines.starts[cursor_line] : offset])
    end = offset - (len(word[0]) if word else 0)
    parts = [QueryPart(_blanked(text, lines.starts[cursor_line], end, not_code), 1.0)]
    for line in range(first, last + 1):
        if line != cursor_line:
            code = _blanked(text, lines.starts[line], lines.content_end(line), not_code)
            distance = abs(line - cursor_line)
            parts.append(QueryPart(code, 1 / (1 + distance / HALF_WEIGHT_DISTANCE)))
    # signatures name base classes, parameters and types
    for scope in enclosing_scopes(tree, offset):
        signature = text[scope.start : min(scope.body_start, offset)]
        parts.append(QueryPart(signature, SIGNATURE_WEIGHT))
    return parts


def _blanked(text: str, start: int, end: int, spans: list[Span]) -> str:
    """`text[start:end]` with spaces in place of the spans."""
    kept = text[start:end]
    for span in spans:
        low, high = max(span.start - start, 0), min(span.end - start, end - start)
        if low < high:
            kept = kept[:low] + " " * (high - low) + kept[high:]
    return kept
