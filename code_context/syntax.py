"""Syntax trees: parsing (incremental where possible), queries, errors, strings and comments.

Parsing never fails: broken code gives a tree with error nodes, an unknown language an empty tree.
All positions that this module returns are offsets in code points.
"""

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import tree_sitter

from code_context.languages import QueryName, grammar, languages, query
from code_context.positions import LineIndex
from code_context.text_diff import changed_span

Captures = dict[str, list[tree_sitter.Node]]
"""Nodes of one query match, by capture name."""

DEFINITION = "definition."  # prefix of the captures that are definitions; their kind follows
EXACT_BYTES = 65_536  # broken code up to this size is parsed from scratch: a few milliseconds
MAX_PARSED = 2_000_000  # characters; parsing more takes noticeably long
PARSE_SECONDS, PARSE_SECONDS_PER_BYTE = 0.5, 2e-6
"""Processor time that parsing may take: several times what real code of a text's length takes."""
READ_BYTES = 1 << 16  # tree-sitter asks for so many at a time
MAX_TOKEN_RUN = 2_000
"""Siblings in sequence that are tokens without a node, such as openers that nobody closed. A query
takes time quadratic in the length of such a run."""
MAX_CONTINUATIONS = 500
CONTINUATIONS = re.compile(r"^(?:[^\n]*\\\r?\n\s*)+", re.MULTILINE)
"""Continued lines in sequence: parsing them takes time quadratic in their number."""
MAX_OPERATORS = 1_000
LONG_EXPRESSION = re.compile(rf"[^;{{}},]{{{2 * MAX_OPERATORS},}}")
OPERATOR = re.compile(r"\w\s*[^\w\s]")
"""Operators without a comma, semicolon or brace between them, in languages whose statements do not
end with their line. Where the text ends behind thousands, the parser's recovery takes time cubic in
their number, in one step that cannot be stopped: `x=>` 6,000 times in C took 37 s."""
IMPORTING_CALLS = frozenset({b"require", b"require_relative"})
"""What may be called where a query captures the name of a call as `@called`."""
IMPORT_DEPTH = 4  # tree depth of imports: also in a function or a condition, not in a method


@dataclass(frozen=True)
class Span:
    """A half-open range of offsets."""

    start: int
    end: int


class SyntaxTree:
    """One parsed text. Everything is computed lazily, so a request pays only for what it uses."""

    def __init__(
        self, text: str, language: str | None, *, previous: "SyntaxTree | None" = None
    ) -> None:
        self.text = text
        self.language = language if language in languages() else None
        self._previous = previous

    @cached_property
    def lines(self) -> LineIndex:
        """Line starts and position conversions of the text."""
        return LineIndex(self.text)

    @cached_property
    def source(self) -> bytes:
        """The text in UTF-8, as tree-sitter reads it; lone surrogates are encoded as in WTF-8."""
        return self.text.encode("utf-8", "surrogatepass")

    @cached_property
    def root(self) -> tree_sitter.Node | None:
        """The root node; None for an unknown language, or if parsing or queries take too long."""
        if self._tree is None or _has_long_token_run(self._tree.root_node):
            return None
        return self._tree.root_node

    @cached_property
    def _tree(self) -> tree_sitter.Tree | None:
        previous, self._previous = self._previous, None
        if self.language is None:
            return None
        if previous is not None and previous.language == self.language:
            old = previous.edited_to(self.source)
            if old is not None:
                tree = _parse(self.source, self.language, old)
                # error recovery may depend on the old tree; small texts are parsed from scratch
                is_small = len(self.source) <= EXACT_BYTES
                if tree is None or not (is_small and tree.root_node.has_error):
                    return tree
        return _parse(self.source, self.language)

    def edited_to(self, source: bytes) -> tree_sitter.Tree | None:
        """A copy of the tree, marked as edited where `source` differs; None without a tree.

        Several edits are marked as one, from the first difference to the last.
        """
        if self._tree is None:
            return None
        tree = self._tree.copy()
        start, old_end, new_end = changed_span(self.source, source)
        # extend to whole characters: two different characters may share bytes
        while start and (_is_continuation(self.source, start) or _is_continuation(source, start)):
            start -= 1
        while _is_continuation(source, new_end):
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
        self, name: QueryName, around: Span | None = None, depth: int | None = None
    ) -> Iterator[tuple[str, Captures]]:
        """Matches of a query: the name of the outermost capture, and all captures.

        `around` restricts them to nodes that touch that range; `depth` to nodes that start at most
        that deep in the tree, which also bounds the cost.
        """
        cursor = self._cursor(name)
        if cursor is None or self.root is None:
            return
        if around is not None:
            to_byte = self.lines.to_byte
            cursor.set_byte_range(to_byte(around.start), to_byte(around.end))
        if depth is not None:
            cursor.set_max_start_depth(depth)
        yield from self._named(cursor.matches(self.root))

    def matches_inside(self, start: int, end: int) -> Iterator[tuple[str, Captures]]:
        """Matches of the query "symbols" that lie completely between two byte offsets."""
        cursor = self._cursor("symbols")
        if cursor is not None and self.root is not None:
            cursor.set_containing_byte_range(start, end)
            yield from self._named(cursor.matches(self.root))

    def matches_below(
        self, node: tree_sitter.Node, name: QueryName, depth: int
    ) -> Iterator[tuple[str, Captures]]:
        """Matches of a query in the subtree of `node`, down to `depth` levels below it."""
        cursor = self._cursor(name)
        if cursor is not None:
            cursor.set_max_start_depth(depth)
            yield from self._named(cursor.matches(node))

    def _named(self, matches: list[tuple[int, Captures]]) -> Iterator[tuple[str, Captures]]:
        """The matches with the names of their outermost captures, less calls that import nothing.

        Predicates of a query, such as #eq?, would keep memory: tree-sitter 0.26 never gives up what
        they are called with, nor the text that they ask for.
        """
        for name, captures in _with_outermost(matches):
            called = (self.source[n.start_byte : n.end_byte] for n in captures.get("called", ()))
            if all(text in IMPORTING_CALLS for text in called):
                yield name, captures

    def _cursor(self, name: QueryName) -> tree_sitter.QueryCursor | None:
        compiled = None if self.language is None else query(self.language, name)
        return None if compiled is None else tree_sitter.QueryCursor(compiled)

    def span(self, node: tree_sitter.Node) -> Span:
        """The span of a node in the text."""
        return Span(self.lines.from_byte(node.start_byte), self.lines.from_byte(node.end_byte))

    def spans(self, name: QueryName, capture: str, around: Span | None = None) -> list[Span]:
        """Spans of one capture of a query, sorted; outer spans before inner ones."""
        spans = {
            self.span(node)
            for _, captures in self.matches(name, around)
            for node in captures.get(capture, ())
        }
        return sorted(spans, key=lambda span: (span.start, -span.end))

    def count_errors(self, around: Span) -> int:
        """Error nodes and missing tokens that touch a range."""
        if self.root is None or self.language is None or not self.root.has_error:
            return 0
        cursor, to_byte = tree_sitter.QueryCursor(_errors(self.language)), self.lines.to_byte
        cursor.set_byte_range(to_byte(around.start), to_byte(around.end))
        return sum(len(nodes) for nodes in cursor.captures(self.root).values())

    def string_or_comment_at(self, offset: int) -> Literal["string", "comment"] | None:
        """Whether a cursor at `offset` is inside a string or a comment."""
        around = Span(max(0, offset - 1), min(len(self.text), offset + 1))
        # a line comment extends to the end of its line, so a cursor right behind it is inside
        for span in self.spans("syntax", "comment", around):
            is_closed = self.text[span.start : span.end].startswith("/*") or (
                self.text[span.end - 1] in "\r\n"
            )
            if span.start < offset < span.end + (not is_closed):
                return "comment"
        if any(s.start < offset < s.end for s in self.spans("syntax", "string", around)):
            return "string"
        return None


def parse(text: str, language: str | None, previous: SyntaxTree | None = None) -> SyntaxTree:
    """The tree of a text; an unknown language gives a tree without nodes.

    `previous` is the tree of an earlier version of the text, for incremental parsing. A text that
    would take too long to parse is treated as one in an unknown language.
    """
    is_slow = (
        len(text) > MAX_PARSED
        or _has_many_continuations(text)
        or _has_long_expression(text, language)
    )
    return SyntaxTree(text, None if is_slow else language, previous=previous)


def _has_long_expression(text: str, language: str | None) -> bool:
    known = None if language is None else languages().get(language)
    if known is None or known.block != "braces":
        return False
    return any(
        sum(1 for _ in OPERATOR.finditer(text, *run.span())) > MAX_OPERATORS
        for run in LONG_EXPRESSION.finditer(text)
    )


class _Read(threading.local):
    """What the parser of a thread has read last.

    Always the same object: tree-sitter 0.26 never gives up what its callbacks return, so of bytes
    every text that was parsed would stay for ever.
    """

    def __init__(self) -> None:
        self.buffer = bytearray()


_READ = _Read()


def _parse(
    source: bytes, language: str, old: tree_sitter.Tree | None = None
) -> tree_sitter.Tree | None:
    """The tree of a text; None if that takes too long, which only this thread's work counts for."""
    end = time.thread_time() + PARSE_SECONDS + PARSE_SECONDS_PER_BYTE * len(source)
    parser = tree_sitter.Parser(grammar(language))
    buffer = _READ.buffer

    def read(byte: int, point: tree_sitter.Point) -> bytearray:
        buffer[:] = source[byte : byte + READ_BYTES]
        return buffer

    def is_late(byte: int, has_error: bool) -> bool:
        return time.thread_time() > end

    try:
        if old is None:
            return parser.parse(read, progress_callback=is_late)
        return parser.parse(read, old, progress_callback=is_late)
    except ValueError:  # "Parsing failed": it was stopped
        return None


class TreeCache:
    """The latest trees of the most recently used documents, for incremental parsing.

    Not thread-safe: one thread owns it.
    """

    def __init__(self, max_documents: int = 16) -> None:
        self._max_documents = max_documents
        self._trees: OrderedDict[tuple[str, str | None], SyntaxTree] = OrderedDict()

    def parse(self, text: str, language: str | None, document: str) -> SyntaxTree:
        """The tree of a text in a language; `document` identifies the document."""
        key = document, language
        previous = self._trees.pop(key, None)
        if previous is not None and previous.text == text:
            tree = previous
        else:
            tree = parse(text, language, previous)
        self._trees[key] = tree
        while len(self._trees) > self._max_documents:
            self._trees.popitem(last=False)
        return tree


def _with_outermost(matches: list[tuple[int, Captures]]) -> Iterator[tuple[str, Captures]]:
    """Add to each match the name of its outermost capture, which depends on the pattern only."""
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


def _has_many_continuations(text: str) -> bool:
    if text.count("\\") <= MAX_CONTINUATIONS:
        return False
    runs = (match.group() for match in CONTINUATIONS.finditer(text))
    return any(run.count("\\\n") + run.count("\\\r\n") > MAX_CONTINUATIONS for run in runs)


def _has_long_token_run(root: tree_sitter.Node) -> bool:
    """Whether more than `MAX_TOKEN_RUN` siblings in sequence are anonymous nodes.

    Such a run covers at least as many bytes, so one lookup for so many bytes finds it.
    """
    position = root.start_byte
    while position < root.end_byte:
        leaf = root.descendant_for_byte_range(position, position + 1)
        position += MAX_TOKEN_RUN
        if leaf is None or leaf.is_named or leaf.parent is None:
            continue
        siblings = leaf.parent
        if siblings.child_count <= MAX_TOKEN_RUN:
            continue
        before, after = leaf.prev_named_sibling, leaf.next_named_sibling
        start = siblings.start_byte if before is None else before.end_byte
        end = siblings.end_byte if after is None else after.start_byte
        if end - start > MAX_TOKEN_RUN and _count_children(siblings, start, end) > MAX_TOKEN_RUN:
            return True
        position = max(position, end)
    return False


def _count_children(siblings: tree_sitter.Node, start: int, end: int) -> int:
    """The children of a node that lie between two bytes, counted up to `MAX_TOKEN_RUN` + 1."""
    cursor = siblings.walk()
    if cursor.goto_first_child_for_byte(start) is None:
        return 0
    count = 0
    while count <= MAX_TOKEN_RUN and cursor.node is not None and cursor.node.start_byte < end:
        count += 1
        if not cursor.goto_next_sibling():
            break
    return count


def _is_continuation(source: bytes, byte: int) -> bool:
    """Whether a byte continues a UTF-8 character."""
    return byte < len(source) and source[byte] & 0xC0 == 0x80


def _point(source: bytes, byte: int) -> tree_sitter.Point:
    """Row and column in bytes; for tree-sitter only a line feed ends a row."""
    return tree_sitter.Point(
        source.count(b"\n", 0, byte), byte - (source.rfind(b"\n", 0, byte) + 1)
    )
