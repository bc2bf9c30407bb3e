"""Symbols of a file that other files can use: its definitions, as outlines; and its imports."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter

from code_context.languages import languages
from code_context.outlines import DefinitionMatch, node_text, outline
from code_context.syntax import DEFINITION, IMPORT_DEPTH, Captures, SyntaxTree

FUNCTION = DEFINITION + "function"
OUTER_DEPTH = 4  # depth in the tree of a decorated method of a class


@dataclass(frozen=True)
class Definition:
    """A name that a file defines. `line` counts from 0; `container` is the enclosing class's name.

    `outline` is described in `code_context.outlines`.
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


def extract_symbols(tree: SyntaxTree) -> tuple[list[Definition], list[Import]]:
    """Definitions outside functions, and all imports, both in source order."""
    matches: list[DefinitionMatch] = []
    imports: list[tuple[int, Import]] = []
    source = tree.source
    for name, captures in _symbol_matches(tree):
        if name.startswith(DEFINITION) and "name" in captures:
            body, container = captures.get("body"), captures.get("container")
            matches.append(
                DefinitionMatch(
                    captures[name][0],
                    body[0] if body else None,
                    node_text(captures["name"][0], source),
                    name.removeprefix(DEFINITION),
                    node_text(container[0], source) if container else "",
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
        part: node_text(captures[part][0], source) if captures.get(part) else ""
        for part in ("module", "name", "alias")
    }
    return Import(
        parts["module"].strip("\"'<>`"),
        parts["name"],
        parts["alias"],
        captures["import"][0].start_point.row,
    )


def _definitions(tree: SyntaxTree, matches: list[DefinitionMatch]) -> list[Definition]:
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
            outline(tree.source, match, language),
        )
        for match in _outside_functions(matches)
        if match.kind not in ("scope", "namespace")
    ]


def _outside_functions(matches: list[DefinitionMatch]) -> list[DefinitionMatch]:
    """The matches outside functions, sorted, each linked to its enclosing class."""
    # of two matches of the same node, the one with a body comes first and is kept
    matches.sort(key=lambda match: (match.start, -match.end, match.body is None))
    enclosing: list[DefinitionMatch] = []
    kept: list[DefinitionMatch] = []
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
