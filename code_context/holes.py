"""Holes: spans of a file that tuning and evaluation hide and ask the model for."""

from dataclasses import dataclass
from typing import Literal

from code_context.syntax import Span, SyntaxTree

HoleKind = Literal["line", "line_end", "expression", "arguments", "block", "body"]


@dataclass(frozen=True)
class Hole:
    """A span of the text that can be hidden; `start` and `end` are offsets."""

    kind: HoleKind
    start: int
    end: int


def find_holes(tree: SyntaxTree) -> list[Hole]:
    """All possible holes, sorted: lines of statements, ends of lines, and parts of statements.

    No hole is blank, and none is inside a string or a comment.
    """
    captured: dict[str, set[Span]] = {}
    for name, captures in tree.matches("holes"):
        for node in captures[name]:
            captured.setdefault(name, set()).add(tree.span(node))
    holes: set[Hole] = set()
    kinds: tuple[HoleKind, ...] = ("body", "block", "expression")
    for kind in kinds:
        for span in captured.get(f"hole.{kind}", ()):
            if kind != "expression":
                span = _without_braces(tree.text, span)
            holes.add(Hole(kind, span.start, span.end))
    for span in captured.get("hole.arguments", ()):
        # Ruby's argument lists may have no parentheses
        if tree.text.startswith("(", span.start) and span.end - span.start > 2:
            holes.add(Hole("arguments", span.start + 1, span.end - 1))
    holes |= _line_holes(tree, captured.get("hole.statement", set()))
    not_blank = (hole for hole in holes if tree.text[hole.start : hole.end].strip())
    return sorted(not_blank, key=lambda hole: (hole.start, hole.end, hole.kind))


def _line_holes(tree: SyntaxTree, statements: set[Span]) -> set[Hole]:
    """The first line of each statement, and its second half."""
    texts = {span.start for kind in ("string", "comment") for span in tree.spans("syntax", kind)}
    holes: set[Hole] = set()
    for span in statements:
        end = tree.lines.content_end(tree.lines.line_of(span.start))
        if end > span.start and span.start not in texts:
            holes.add(Hole("line", span.start, end))
            middle = _token_start(tree.text, span.start, end)
            if middle is not None:
                holes.add(Hole("line_end", middle, end))
    return holes


def _without_braces(text: str, span: Span) -> Span:
    """A block from its first statement on; in braces, up to the end of its last statement."""
    start, end = span.start, span.end
    if end - start > 1 and text[start] == "{" and text[end - 1] == "}":
        start, end = start + 1, end - 1
        end -= len(text[start:end]) - len(text[start:end].rstrip())
    content = text[start:end]
    return Span(start + len(content) - len(content.lstrip()), end)


def _token_start(text: str, start: int, end: int) -> int | None:
    """The first offset at or behind the middle of a line where a token begins."""
    for offset in range((start + end) // 2, end - 1):
        character, before = text[offset], text[offset - 1]
        if offset > start and not character.isspace() and not (before + character).isidentifier():
            return offset
    return None
