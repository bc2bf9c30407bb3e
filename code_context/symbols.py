"""Symbols of a file that other files can use: its definitions, as outlines; and its imports."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter

import tree_sitter

from code_context.languages import Language, languages
from code_context.syntax import DEFINITION, IMPORT_DEPTH, Captures, SyntaxTree

FUNCTION = DEFINITION + "function"
OUTER_DEPTH = 4  # depth in the tree of a decorated method of a class
MAX_OUTLINE = 1_200  # characters
MAX_MEMBERS = 16  # of a class in its outline
MAX_LINE = 200  # characters of a value or a documentation line
INDENT = "    "  # of members that stand on their class's own line


@dataclass(frozen=True)
class Definition:
    """A name that a file defines. `line` counts from 0; `container` is the enclosing class's name.

    `outline` is what another file needs to know, without bodies: the signature, the first line of
    documentation and, for a class, its members' signatures. A member's outline stands in its scope
    (`class Store { ... }`, `impl Store { ... }`), in the language's own syntax.
    """

    name: str
    kind: str
    container: str
    line: int
    outline: str


@dataclass(frozen=True)
class Import:
    """One name that a file imports from a module, as written in the source.

    `name` is empty if the module itself is imported; `alias` is empty if there is none. `line`
    counts from 0.
    """

    module: str
    name: str
    alias: str
    line: int

    @property
    def bound_name(self) -> str:
        """The name that the import defines in the file."""
        return self.alias or self.name or self.module

    @property
    def words(self) -> tuple[str, str]:
        """Words that may refer to the import: the bound name, and its last component."""
        return self.bound_name, re.split(r"[./:\\]", self.bound_name)[-1]


@dataclass(slots=True)
class _Match:
    """A matched definition. Positions are in bytes; `scope` is the enclosing class, if any."""

    node: tree_sitter.Node
    body: tree_sitter.Node | None
    name: str
    kind: str
    container: str
    scope: "_Match | None" = None
    members: list["_Match"] = field(default_factory=list)

    @property
    def start(self) -> int:
        return self.node.start_byte

    @property
    def end(self) -> int:
        return self.node.end_byte


def extract_symbols(tree: SyntaxTree) -> tuple[list[Definition], list[Import]]:
    """Definitions outside functions, and all imports, both in source order."""
    matches: list[_Match] = []
    imports: list[tuple[int, Import]] = []
    source = tree.source
    for name, captures in _symbol_matches(tree):
        if name.startswith(DEFINITION) and "name" in captures:
            body, container = captures.get("body"), captures.get("container")
            matches.append(
                _Match(
                    captures[name][0],
                    body[0] if body else None,
                    _text(captures["name"][0], source),
                    name.removeprefix(DEFINITION),
                    _text(container[0], source) if container else "",
                )
            )
        elif name == "import" and "module" in captures:
            imports.append((captures["import"][0].start_byte, _import(captures, source)))
    imports.sort(key=itemgetter(0))
    return _definitions(tree, matches), [one for _, one in imports]


def imported_names(tree: SyntaxTree) -> list[Import]:
    """Only the imports of a file."""
    return [
        _import(captures, tree.source)
        for name, captures in tree.matches("symbols", depth=IMPORT_DEPTH)
        if name == "import" and "module" in captures
    ]


def _symbol_matches(tree: SyntaxTree) -> Iterator[tuple[str, Captures]]:
    """Matches of definitions outside functions, and of imports anywhere.

    Most of a file is in functions, where definitions do not count and imports are rare. Skipping
    functions without an import word saves more than half of the time.
    """
    words = tree.language and languages()[tree.language].import_words
    if not words:
        yield from tree.matches("symbols")
        return
    outer, functions = set(), []
    for name, captures in tree.matches("symbols", depth=OUTER_DEPTH):
        node = captures[name][0]
        outer.add((name, node.id))
        if name == FUNCTION and "body" in captures:
            functions.append((node.start_byte, node.end_byte))
        yield name, captures
    for start, end in _gaps(tree.source, sorted(functions), [word.encode() for word in words]):
        for name, captures in tree.matches_inside(start, end):
            if (name, captures[name][0].id) not in outer:
                yield name, captures


def _gaps(
    source: bytes, functions: list[tuple[int, int]], words: list[bytes]
) -> Iterator[tuple[int, int]]:
    """Byte ranges between the functions that contain none of the words; no blank ranges."""
    position = 0
    for start, end in [*functions, (len(source), len(source))]:
        if start < position or any(source.find(word, start, end) >= 0 for word in words):
            continue
        if source[position:start].strip():
            yield position, start
        position = end


def _import(captures: Captures, source: bytes) -> Import:
    parts = {
        part: _text(captures[part][0], source) if captures.get(part) else ""
        for part in ("module", "name", "alias")
    }
    return Import(
        parts["module"].strip("\"'<>`"),
        parts["name"],
        parts["alias"],
        captures["import"][0].start_point.row,
    )


def _definitions(tree: SyntaxTree, matches: list[_Match]) -> list[Definition]:
    """The matches outside functions as definitions; a namespace is not a container."""
    if tree.language is None:
        return []
    language = languages()[tree.language]
    return [
        Definition(
            match.name,
            match.kind,
            match.container,
            match.node.start_point.row,
            _outline(tree.source, match, language),
        )
        for match in _outside_functions(matches)
        if match.kind not in ("scope", "namespace")
    ]


def _outside_functions(matches: list[_Match]) -> list[_Match]:
    """The matches outside functions, sorted, each linked to its enclosing class."""
    # of two matches of the same node, the one with a body comes first and is kept
    matches.sort(key=lambda match: (match.start, -match.end, match.body is None))
    enclosing: list[_Match] = []
    kept: list[_Match] = []
    function_depth = 0
    for match in matches:
        if kept and kept[-1].start == match.start and kept[-1].name == match.name:
            continue
        while enclosing and enclosing[-1].end <= match.start:
            function_depth -= enclosing.pop().kind == "function"
        if not function_depth:
            scope = next((one for one in reversed(enclosing) if one.kind != "namespace"), None)
            if scope is not None:
                match.scope, match.container = scope, scope.name
                scope.members.append(match)
            kept.append(match)
        if match.body is not None:
            enclosing.append(match)
            function_depth += match.kind == "function"
    return kept


def _outline(source: bytes, match: _Match, language: Language) -> str:
    if language.documentation == "string":
        lines = [_signature(source, match), *_docstring(source, match)]
    else:
        lines = [*_comment_above(source, match), _signature(source, match)]
    if match.kind == "class":
        # private members are the first to be left out
        ordered = sorted(match.members, key=lambda m: m.name.startswith("_") and m.name[:2] != "__")
        for member in sorted(ordered[:MAX_MEMBERS], key=attrgetter("start")):
            indentation = _indentation(source, member.start) or INDENT
            lines.append(indentation + _signature(source, member))
    indentation = _indentation(source, match.start)
    if indentation:
        lines = [line.replace("\n" + indentation, "\n").removeprefix(indentation) for line in lines]
    outline = "\n".join(lines)[:MAX_OUTLINE].rstrip()
    if match.scope is not None and match.kind != "class":
        outline = _in_scope(source, outline, match.scope, indentation, language)
    return outline + "\n"


def _in_scope(
    source: bytes, outline: str, scope: _Match, indentation: str, language: Language
) -> str:
    """A member's outline between the first and the last line of its scope, as in the source."""
    opening, closing = _scope_lines(source, scope, language)
    if language.block == "indentation":
        indentation = INDENT
    else:
        indentation = indentation.removeprefix(_indentation(source, scope.start)) or INDENT
    members = "\n".join(indentation + line for line in outline.splitlines())
    return "\n".join(filter(None, (opening, members, closing)))


def _scope_lines(source: bytes, scope: _Match, language: Language) -> tuple[str, str]:
    """What stands before and after the members of a scope, such as `class Store {` and `}`."""
    if scope.body is None or language.block == "indentation":
        # the published prompts were tuned with this form, without base classes
        return f"class {scope.name}:", ""
    comments = (node.start_byte for node in scope.node.children if "comment" in node.type)
    end = min(scope.body.start_byte, *comments, scope.end)
    signature = _decoded(source[scope.start : end])[: MAX_OUTLINE // 2]
    signature = signature.replace("\n" + _indentation(source, scope.start), "\n")
    if language.block == "end":
        return signature.rstrip(), "end"
    # the body may begin with a keyword: `interface {` in Go
    keyword, brace, _ = _text(scope.body, source).partition("{")
    # in C++ a semicolon ends the declaration
    closing = "};" if source[scope.end : scope.end + 1] == b";" else "}"
    return signature + (keyword if brace else "") + "{", closing


def _signature(source: bytes, match: _Match) -> str:
    if match.body is None:
        first = _decoded(source[match.start : match.end].partition(b"\n")[0])
        return first[:MAX_LINE].rstrip(" \t{")
    signature = _decoded(source[match.start : match.body.start_byte])
    return signature.rstrip()[: MAX_OUTLINE // 2].rstrip(" \t{")


def _docstring(source: bytes, match: _Match) -> list[str]:
    """The first line of the string that starts the body, as a docstring; empty without one."""
    if match.body is None or not match.body.named_child_count:
        return []
    first = match.body.named_child(0)
    inner = first.named_child(0) if first and first.named_child_count else None
    if first is None or inner is None or inner.type != "string":
        return []
    text = _text(inner, source).lstrip("rRuUbB")
    head = text.strip(text[:1]).strip().partition("\n")[0].strip()[:MAX_LINE]
    return [f'{_indentation(source, first.start_byte) or INDENT}"""{head}"""'] if head else []


def _comment_above(source: bytes, match: _Match) -> list[str]:
    """The first line of the comment directly above a definition; empty without one."""
    node = match.node
    while node.prev_named_sibling is None and node.parent and node.parent.parent:
        node = node.parent  # an export or a decorator
    comment = None
    above, row = node.prev_named_sibling, node.start_point.row
    while above is not None and "comment" in above.type and above.end_point.row >= row - 1:
        comment, row, above = above, above.start_point.row, above.prev_named_sibling
    if comment is None or comment.start_point.row == node.start_point.row:
        return []
    text = _text(comment, source)
    if not text.startswith("/*"):
        return [text.partition("\n")[0].rstrip()[:MAX_LINE]]
    lines = (line.strip().strip("/*").strip() for line in text.splitlines())
    head = next((line for line in lines if line), "")
    return [f"/** {head[:MAX_LINE]} */"] if head else []


def _indentation(source: bytes, byte: int) -> str:
    """The white space before a position in its line; empty if anything else is before it."""
    before = _decoded(source[source.rfind(b"\n", 0, byte) + 1 : byte])
    return before if before.isspace() else ""


def _text(node: tree_sitter.Node, source: bytes) -> str:
    return _decoded(source[node.start_byte : node.end_byte])


def _decoded(source: bytes) -> str:
    return source.decode("utf-8", "surrogatepass")
