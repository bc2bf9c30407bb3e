"""Syntax trees of open files: scopes, imports, strings and comments, and holes to complete.

Parsing never fails: broken code gives a tree with errors in it, an unknown language an empty one.
Every position that leaves this module is an offset in code points.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import tree_sitter

from code_context.differences import changed_span
from code_context.languages import Questions, grammar, languages, query
from code_context.languages import language_of as language_of
from code_context.positions import LineIndex

HoleKind = Literal["line", "line_end", "expression", "arguments", "block", "body"]
Captures = dict[str, list[tree_sitter.Node]]

DEFINITION = "definition."
EXACT_BYTES = 65_536  # broken code up to this size is parsed afresh, which takes milliseconds
MEMBER_DEPTH = 3  # below a class: its body, a member, one behind a decoration
MAX_PARSED = 2_000_000  # characters; parsing more makes a person wait
IMPORT_DEPTH = 4  # an import in a function, or under a condition; not in a method


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
    kind: str = "function"


@dataclass(frozen=True)
class Hole:
    """A span of the text that can be hidden and asked for again."""

    kind: HoleKind
    start: int
    end: int


class SyntaxTree:
    """One parsed text. All answers are lazy, so that a request pays for what it asks."""

    def __init__(
        self, text: str, language: str | None, *, previous: "SyntaxTree | None" = None
    ) -> None:
        self.text = text
        self.language = language if language in languages() else None
        self._previous = previous

    @cached_property
    def lines(self) -> LineIndex:
        """Lines and positions of the text."""
        return LineIndex(self.text)

    @cached_property
    def source(self) -> bytes:
        """The text in UTF-8, as the grammar sees it; lone surrogates as WTF-8 stores them."""
        return self.text.encode("utf-8", "surrogatepass")

    @cached_property
    def root(self) -> tree_sitter.Node | None:
        """The root of the tree, None for an unknown language."""
        return None if self._tree is None else self._tree.root_node

    def errors_in(self, around: Span) -> int:
        """Pieces in a range that are no code in the language, and tokens that had to be added."""
        if self.root is None or self.language is None or not self.root.has_error:
            return 0
        cursor, place = tree_sitter.QueryCursor(_errors(self.language)), self.lines.to_byte
        cursor.set_byte_range(place(around.start), place(around.end))
        return sum(len(nodes) for nodes in cursor.captures(self.root).values())

    @cached_property
    def _tree(self) -> tree_sitter.Tree | None:
        previous, self._previous = self._previous, None
        if self.language is None:
            return None
        parser = tree_sitter.Parser(grammar(self.language))
        if previous is not None and previous.language == self.language:
            old = previous.edited_to(self.source)
            if old is not None:
                tree = parser.parse(self.source, old)
                # how the grammar recovers from an error may depend on the old tree
                if len(self.source) > EXACT_BYTES or not tree.root_node.has_error:
                    return tree
        return parser.parse(self.source)

    def edited_to(self, source: bytes) -> tree_sitter.Tree | None:
        """A copy of the tree, marked where `source` differs; None for an unknown language.

        Any number of edits is one that spans from the first difference to the last.
        """
        if self._tree is None:
            return None
        tree = self._tree.copy()
        start, old_end, new_end = changed_span(self.source, source)
        # whole characters only: two of them may share bytes
        while start and (_continues(self.source, start) or _continues(source, start)):
            start -= 1
        while _continues(source, new_end):
            old_end, new_end = old_end + 1, new_end + 1
        tree.edit(
            start,
            old_end,
            new_end,
            _point(self.source, start),
            _point(self.source, old_end),
            _point(source, new_end),
        )
        return tree

    def matches(
        self, questions: Questions, around: Span | None = None, depth: int | None = None
    ) -> Iterator[tuple[str, Captures]]:
        """Answers to a language's questions: the name of the outermost capture, and all captures.

        `around` limits them to what touches that range, `depth` to what begins at most so deep in
        the tree: a question costs what it looks at.
        """
        root = self.root
        if root is None or self.language is None:
            return
        asked = query(self.language, questions)
        if asked is None:
            return
        cursor = tree_sitter.QueryCursor(asked)
        if around is not None:
            place = self.lines.to_byte
            cursor.set_byte_range(place(around.start), place(around.end))
        if depth is not None:
            cursor.set_max_start_depth(depth)
        yield from _named(cursor.matches(root))

    def matches_within(self, start: int, end: int) -> Iterator[tuple[str, Captures]]:
        """Answers about symbols that lie wholly between two bytes."""
        if self.root is None or self.language is None:
            return
        asked = query(self.language, "symbols")
        if asked is None:
            return
        cursor = tree_sitter.QueryCursor(asked)
        cursor.set_containing_byte_range(start, end)
        yield from _named(cursor.matches(self.root))

    def span(self, node: tree_sitter.Node) -> Span:
        """Where a node stands in the text."""
        return Span(self.lines.from_byte(node.start_byte), self.lines.from_byte(node.end_byte))

    def spans(self, questions: Questions, capture: str, around: Span | None = None) -> list[Span]:
        """Spans of one capture, outer before inner."""
        found = {
            self.span(node)
            for _, captures in self.matches(questions, around)
            for node in captures.get(capture, ())
        }
        return sorted(found, key=lambda span: (span.start, -span.end))

    @cached_property
    def scopes(self) -> list[Scope]:
        """Classes and functions that have a body, outer before inner."""
        return self.scopes_around(None)

    def scopes_around(self, around: Span | None) -> list[Scope]:
        """The scopes that touch a range."""
        found = set()
        for name, captures in self.matches("symbols", around):
            if name.startswith(DEFINITION) and "body" in captures:
                whole, body = self.span(captures[name][0]), self.span(captures["body"][0])
                kind = name.removeprefix(DEFINITION)
                found.add(Scope(whole.start, body.start, whole.end, kind))
        return sorted(found, key=lambda scope: (scope.start, -scope.end))

    def members(self, scope: Scope) -> list[Scope]:
        """What stands directly in a scope's body, in the order of the file; without a body of its
        own, a member is all signature.
        """
        if self.root is None or self.language is None:
            return []
        place, asked = self.lines.to_byte, query(self.language, "symbols")
        body = self.root.named_descendant_for_byte_range(place(scope.body_start), place(scope.end))
        owner = None if body is None else body.parent or body
        if owner is None or asked is None:
            return []
        cursor = tree_sitter.QueryCursor(asked)
        cursor.set_max_start_depth(MEMBER_DEPTH)
        found: dict[int, Scope] = {}
        for _, captures in cursor.matches(owner):
            name = next((name for name in captures if name.startswith(DEFINITION)), None)
            if name is None:
                continue
            whole = self.span(captures[name][0])
            own = captures.get("body")
            inner = self.span(own[0]).start if own else whole.end
            if whole.start > scope.start and whole.start not in found:
                kind = name.removeprefix(DEFINITION)
                found[whole.start] = Scope(whole.start, inner, whole.end, kind)
        return [found[start] for start in sorted(found)]

    def not_code(self, offset: int) -> Literal["string", "comment"] | None:
        """Whether the cursor stands inside a string or in a comment."""
        around = Span(max(0, offset - 1), min(len(self.text), offset + 1))
        # a comment reaches to the end of its line, so a cursor behind it is still in it
        for span in self.spans("syntax", "comment", around):
            closed = self.text[span.start : span.end].startswith("/*") or (
                self.text[span.end - 1] in "\r\n"
            )
            if span.start < offset < span.end + (not closed):
                return "comment"
        if any(s.start < offset < s.end for s in self.spans("syntax", "string", around)):
            return "string"
        return None


def _named(matches: list[tuple[int, Captures]]) -> Iterator[tuple[str, Captures]]:
    """Each with the name of its outermost capture, which a pattern has once and for all."""
    outermost: dict[int, str] = {}
    for pattern, captures in matches:
        name = outermost.get(pattern)
        if name is None:
            roots = (name for name in captures if "." in name or name == "import")
            name = outermost[pattern] = next(roots, next(iter(captures), ""))
        yield name, captures


@cache
def _errors(language: str) -> tree_sitter.Query:
    return tree_sitter.Query(grammar(language), "(ERROR) @error (MISSING) @missing")


def parse(text: str, language: str | None, previous: SyntaxTree | None = None) -> SyntaxTree:
    """The tree of a text; an unknown language gives one without scopes, imports or holes.

    `previous` is the tree of an earlier version of the text: only what changed is parsed again. A
    text of more than `MAX_PARSED` characters counts as one of an unknown language.
    """
    return SyntaxTree(text, language if len(text) <= MAX_PARSED else None, previous=previous)


class OpenTrees:
    """The latest tree of each of the last documents, so that a change costs what it changes.

    Not thread-safe: one thread owns it.
    """

    def __init__(self, most: int = 16) -> None:
        self._most = most
        self._trees: OrderedDict[str, SyntaxTree] = OrderedDict()

    def parse(self, text: str, path: str) -> SyntaxTree:
        """The tree of a document's text."""
        previous = self._trees.pop(path, None)
        if previous is not None and previous.text == text:
            tree = previous
        else:
            tree = parse(text, language_of(path), previous)
        self._trees[path] = tree
        while len(self._trees) > self._most:
            self._trees.popitem(last=False)
        return tree


def enclosing_scopes(tree: SyntaxTree, offset: int) -> list[Scope]:
    """Classes and functions around the cursor, outermost first.

    A scope also holds the cursor behind its end while the cursor's line is indented deeper than
    the scope's first line: there a person goes on writing the body.
    """
    lines, text = tree.lines, tree.text
    line = lines.line_of(offset)
    column = _indentation(text[lines.starts[line] : offset])
    written = len(text[:offset].rstrip())
    around = []
    for scope in tree.scopes_around(Span(max(0, written - 1), min(len(text), offset + 1))):
        if scope.start >= offset:
            break
        outer = _indentation(lines.line_text(lines.line_of(scope.start)))
        trailing = scope.end <= offset and not text[scope.end : offset].strip()
        if offset < scope.end or (trailing and column > outer):
            around.append(scope)
    return around


def imports(tree: SyntaxTree) -> list[Span]:
    """Import statements in the order of the file."""
    found = {
        tree.span(captures["import"][0])
        for name, captures in tree.matches("symbols", depth=IMPORT_DEPTH)
        if name == "import"
    }
    return sorted(found, key=lambda span: span.start)


def holes(tree: SyntaxTree) -> list[Hole]:
    """Spans to hide, in the order of the file: whole statements' lines, ends of lines, parts.

    Holes are not blank, and none lies in a string or a comment.
    """
    captured: dict[str, set[Span]] = {}
    for name, captures in tree.matches("holes"):
        for node in captures[name]:
            captured.setdefault(name, set()).add(tree.span(node))
    found: set[Hole] = set()
    kinds: tuple[HoleKind, ...] = ("body", "block", "expression")
    for kind in kinds:
        for span in captured.get(f"hole.{kind}", ()):
            if kind != "expression":
                span = _without_braces(tree.text, span)
            found.add(Hole(kind, span.start, span.end))
    for span in captured.get("hole.arguments", ()):
        # Ruby's may have none
        if tree.text.startswith("(", span.start) and span.end - span.start > 2:
            found.add(Hole("arguments", span.start + 1, span.end - 1))
    texts = {span.start for kind in ("string", "comment") for span in tree.spans("syntax", kind)}
    for span in captured.get("hole.statement", ()):
        end = tree.lines.content_end(tree.lines.line_of(span.start))
        if end > span.start and span.start not in texts:
            found.add(Hole("line", span.start, end))
            middle = _word_start(tree.text, span.start, end)
            if middle is not None:
                found.add(Hole("line_end", middle, end))
    kept = (hole for hole in found if tree.text[hole.start : hole.end].strip())
    return sorted(kept, key=lambda hole: (hole.start, hole.end, hole.kind))


def _without_braces(text: str, span: Span) -> Span:
    """A block from its first statement on; between braces, to the end of its last one."""
    start, end = span.start, span.end
    if end - start > 1 and text[start] == "{" and text[end - 1] == "}":
        start, end = start + 1, end - 1
        end -= len(text[start:end]) - len(text[start:end].rstrip())
    held = text[start:end]
    return Span(start + len(held) - len(held.lstrip()), end)


def _word_start(text: str, start: int, end: int) -> int | None:
    """The first place behind the middle of a line where a token begins."""
    for offset in range((start + end) // 2, end - 1):
        here, before = text[offset], text[offset - 1]
        if offset > start and not here.isspace() and not (before + here).isidentifier():
            return offset
    return None


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _continues(source: bytes, byte: int) -> bool:
    """Whether a byte goes on with the character before it."""
    return byte < len(source) and source[byte] & 0xC0 == 0x80


def _point(source: bytes, byte: int) -> tree_sitter.Point:
    """Row and column in bytes; a row ends at a line feed only, whatever else ends a line."""
    return tree_sitter.Point(
        source.count(b"\n", 0, byte), byte - (source.rfind(b"\n", 0, byte) + 1)
    )
