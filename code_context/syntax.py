"""Syntax trees of open files: scopes, imports, strings and comments, and holes to complete.

Parsing never fails: broken code gives a tree with errors in it, an unknown language an empty one.
Every position that leaves this module is an offset in code points.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from pathlib import PurePath
from typing import Literal

import tree_sitter
import tree_sitter_python

from code_context.positions import LineIndex

HoleKind = Literal["line", "line_end", "expression", "arguments", "block", "body"]

# one line for each language; its questions are in languages/NAME.scm and NAME-holes.scm
GRAMMARS: dict[str, Callable[[], object]] = {"python": tree_sitter_python.language}
SUFFIXES = {".py": "python", ".pyi": "python", ".pyw": "python"}


@dataclass(frozen=True)
class Span:
    """A half-open range of offsets."""

    start: int
    end: int


@dataclass(frozen=True)
class Scope:
    """A class or function: its signature runs from `start` to `body_start`."""

    start: int
    body_start: int
    end: int


@dataclass(frozen=True)
class Hole:
    """A span of the text that can be hidden and asked for again."""

    kind: HoleKind
    start: int
    end: int


def language_of(path: str) -> str | None:
    """The language that a file name's ending stands for, None if unknown."""
    return SUFFIXES.get(PurePath(path).suffix.lower())


@cache
def _grammar(language: str) -> tree_sitter.Language:
    return tree_sitter.Language(GRAMMARS[language]())


@cache
def _query(language: str, questions: str) -> tree_sitter.Query:
    file = resources.files("code_context") / "languages" / f"{questions}.scm"
    return tree_sitter.Query(_grammar(language), file.read_text("utf-8"))


class SyntaxTree:
    """One parsed text. All answers are lazy, so that a request pays for what it asks."""

    def __init__(self, text: str, language: str | None) -> None:
        self.text = text
        self.language = language if language in GRAMMARS else None
        self.lines = LineIndex(text)

    @cached_property
    def _tree(self) -> tree_sitter.Tree | None:
        if self.language is None:
            return None
        parser = tree_sitter.Parser(_grammar(self.language))
        return parser.parse(self.text.encode("utf-8", "surrogatepass"))

    @cached_property
    def _code_captures(self) -> dict[str, list[tree_sitter.Node]]:
        return self._ask(f"{self.language}")

    @cached_property
    def _hole_captures(self) -> dict[str, list[tree_sitter.Node]]:
        return self._ask(f"{self.language}-holes")

    def _ask(self, questions: str) -> dict[str, list[tree_sitter.Node]]:
        if self._tree is None or self.language is None:
            return {}
        query = _query(self.language, questions)
        return tree_sitter.QueryCursor(query).captures(self._tree.root_node)

    def captured(self, name: str) -> list[Span]:
        """Spans of one capture of the language's queries, outer before inner."""
        asked = self._hole_captures if name.startswith("hole.") else self._code_captures
        place = self.lines.from_byte
        spans = (Span(place(node.start_byte), place(node.end_byte)) for node in asked.get(name, ()))
        return sorted(spans, key=lambda span: (span.start, -span.end))

    @cached_property
    def scopes(self) -> list[Scope]:
        """Classes and functions, outer before inner."""
        bodies = [body.start for body in self.captured("scope.body")]
        found = []
        for scope in self.captured("scope"):
            # the first body behind a scope's start is its own: a signature holds no other
            own = bisect_right(bodies, scope.start)
            body_start = bodies[own] if own < len(bodies) else scope.end
            found.append(Scope(scope.start, min(body_start, scope.end), scope.end))
        return found

    @cached_property
    def _strings(self) -> list[Span]:
        return self.captured("string")

    @cached_property
    def _comments(self) -> list[Span]:
        return self.captured("comment")

    def not_code(self, offset: int) -> Literal["string", "comment"] | None:
        """Whether the cursor stands inside a string or in a comment."""
        if any(span.start < offset < span.end for span in self._strings):
            return "string"
        # a comment reaches to the end of its line, so a cursor behind it is still in it
        if any(span.start < offset <= span.end for span in self._comments):
            return "comment"
        return None


def parse(text: str, language: str | None) -> SyntaxTree:
    """The tree of a text; an unknown language gives one without scopes, imports or holes."""
    return SyntaxTree(text, language)


def enclosing_scopes(tree: SyntaxTree, offset: int) -> list[Scope]:
    """Classes and functions around the cursor, outermost first.

    A scope also holds the cursor behind its end while the cursor's line is indented deeper than
    the scope's first line: there a person goes on writing the body.
    """
    lines = tree.lines
    line = lines.line_of(offset)
    column = _indentation(tree.text[lines.starts[line] : offset])
    around = []
    for scope in tree.scopes:
        if scope.start >= offset:
            break
        outer = _indentation(lines.line_text(lines.line_of(scope.start)))
        trailing = scope.end <= offset and not tree.text[scope.end : offset].strip()
        if offset < scope.end or (trailing and column > outer):
            around.append(scope)
    return around


def imports(tree: SyntaxTree) -> list[Span]:
    """Import statements in the order of the file."""
    return tree.captured("import")


def holes(tree: SyntaxTree) -> list[Hole]:
    """Spans to hide, in the order of the file: whole statements' lines, ends of lines, parts.

    Holes are not blank, and none lies in a string or a comment.
    """
    found: set[Hole] = set()
    for kind in ("body", "block", "expression"):
        for span in tree.captured(f"hole.{kind}"):
            found.add(Hole(kind, span.start, span.end))
    for span in tree.captured("hole.arguments"):
        if span.end - span.start > 2:
            found.add(Hole("arguments", span.start + 1, span.end - 1))
    for span in tree.captured("hole.statement"):
        end = tree.lines.content_end(tree.lines.line_of(span.start))
        if end > span.start and not tree.not_code(span.start + 1):
            found.add(Hole("line", span.start, end))
            middle = _word_start(tree.text, span.start, end)
            if middle is not None:
                found.add(Hole("line_end", middle, end))
    kept = (hole for hole in found if tree.text[hole.start : hole.end].strip())
    return sorted(kept, key=lambda hole: (hole.start, hole.end, hole.kind))


def _word_start(text: str, start: int, end: int) -> int | None:
    """The first place behind the middle of a line where a token begins."""
    for offset in range((start + end) // 2, end - 1):
        here, before = text[offset], text[offset - 1]
        if offset > start and not here.isspace() and not (before + here).isidentifier():
            return offset
    return None


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))
