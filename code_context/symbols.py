"""What a file defines and what it takes from elsewhere, as other files would want to know it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter

import tree_sitter

from code_context.languages import languages
from code_context.syntax import DEFINITION, IMPORT_DEPTH, Captures, SyntaxTree

FUNCTION = DEFINITION + "function"
OUTER_DEPTH = 4  # in the tree: a method of a class, behind a decoration
MAX_OUTLINE = 1_200  # characters
MAX_MEMBERS = 16
MAX_LINE = 200  # characters of a value or a description


@dataclass(frozen=True)
class Definition:
    """A name that a file defines. `line` counts from 0; `container` is the class around it.

    `outline` is what another file needs to know: the signature, the first line of the description
    and, of a class, the signatures of its members. No bodies.
    """

    name: str
    kind: str
    container: str
    line: int
    outline: str


@dataclass(frozen=True)
class Import:
    """One name that a file takes from a module, as it is written there.

    `name` is empty when the module itself is taken, and so is `alias` when there is none. `line`
    counts from 0.
    """

    module: str
    name: str
    alias: str
    line: int

    @property
    def bound(self) -> str:
        """The name by which the file speaks of it."""
        return self.alias or self.name or self.module

    @property
    def words(self) -> tuple[str, str]:
        """Words by which the file may speak of the module: its name here, and that one's end."""
        return self.bound, re.split(r"[./:\\]", self.bound)[-1]


@dataclass(slots=True)
class _Found:
    node: tree_sitter.Node
    body: tree_sitter.Node | None
    start: int
    end: int
    name: str
    kind: str
    container: str
    signature: str = ""
    members: list["_Found"] = field(default_factory=list)


def extract_symbols(tree: SyntaxTree) -> tuple[list[Definition], list[Import]]:
    """Definitions that other files can reach (none inside a function), and imports."""
    found: list[_Found] = []
    imported: list[tuple[int, Import]] = []
    source = tree.source
    for name, captures in _outside_functions(tree):
        if name.startswith(DEFINITION) and "name" in captures:
            node, body, container = (
                captures[name][0],
                captures.get("body"),
                captures.get("container"),
            )
            found.append(
                _Found(
                    node,
                    body[0] if body else None,
                    node.start_byte,
                    node.end_byte,
                    _text(captures["name"][0], source),
                    name.removeprefix(DEFINITION),
                    _text(container[0], source) if container else "",
                )
            )
        elif name == "import" and "module" in captures:
            imported.append((captures["import"][0].start_byte, _import(captures, source)))
    imported.sort(key=itemgetter(0))
    return _reachable(tree, found), [one for _, one in imported]


def _outside_functions(tree: SyntaxTree) -> Iterator[tuple[str, Captures]]:
    """Answers about what other files can reach, and about imports anywhere.

    Most of a file stands in functions, where no definition counts and few import anything; not to
    look there saves more than half of what looking costs.
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
    """Ranges of bytes around the functions that hold none of the words, unless they are blank."""
    at = 0
    for start, end in [*functions, (len(source), len(source))]:
        if start < at or any(source.find(word, start, end) >= 0 for word in words):
            continue
        if source[at:start].strip():
            yield at, start
        at = end


def imported_names(tree: SyntaxTree) -> list[Import]:
    """The imports of a file alone."""
    return [
        _import(captures, tree.source)
        for name, captures in tree.matches("symbols", depth=IMPORT_DEPTH)
        if name == "import" and "module" in captures
    ]


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


def _reachable(tree: SyntaxTree, found: list[_Found]) -> list[Definition]:
    """Definitions outside functions, each behind its container; a namespace contains nothing."""
    # of two answers about one place, that with a body says more
    found.sort(key=lambda one: (one.start, -one.end, one.body is None))
    around: list[_Found] = []
    kept: list[_Found] = []
    functions = 0  # around
    for one in found:
        if kept and kept[-1].start == one.start and kept[-1].name == one.name:
            continue
        while around and around[-1].end <= one.start:
            functions -= around.pop().kind == "function"
        if not functions:
            container = next((o for o in reversed(around) if o.kind != "namespace"), None)
            if container is not None:
                one.container = container.name
                container.members.append(one)
            one.signature = _signature(tree.source, one)
            kept.append(one)
        if one.body is not None:
            around.append(one)
            functions += one.kind == "function"
    described = "" if tree.language is None else languages()[tree.language].documentation
    return [
        Definition(
            one.name,
            one.kind,
            one.container,
            one.node.start_point.row,
            _outline(tree.source, one, described),
        )
        for one in kept
        if one.kind not in ("scope", "namespace")
    ]


def _outline(source: bytes, one: _Found, described: str) -> str:
    """Signature, description and members' signatures, without the indentation of the first line."""
    if described == "string":
        lines = [one.signature, *_docstring(source, one)]
    else:
        lines = [*_comment_above(source, one), one.signature]
    if one.kind == "class":
        # the way to make one first, then what it offers; what is private comes last
        ordered = sorted(one.members, key=lambda m: m.name.startswith("_") and m.name[:2] != "__")
        for member in sorted(ordered[:MAX_MEMBERS], key=attrgetter("start")):
            lines.append((_indentation(source, member.start) or "    ") + member.signature)
    indent = _indentation(source, one.start)
    if indent:
        lines = [line.replace("\n" + indent, "\n").removeprefix(indent) for line in lines]
    return "\n".join(lines)[:MAX_OUTLINE].rstrip() + "\n"


def _signature(source: bytes, one: _Found) -> str:
    if one.body is None:
        first = _decoded(source[one.start : one.end].partition(b"\n")[0])
        return first[:MAX_LINE].rstrip(" \t{")
    signature = _decoded(source[one.start : one.body.start_byte])
    return signature.rstrip()[: MAX_OUTLINE // 2].rstrip(" \t{")


def _docstring(source: bytes, one: _Found) -> list[str]:
    """The first line of the string that begins a body."""
    if one.body is None or not one.body.named_child_count:
        return []
    first = one.body.named_child(0)
    inner = first.named_child(0) if first and first.named_child_count else None
    if first is None or inner is None or inner.type != "string":
        return []
    text = _text(inner, source).lstrip("rRuUbB")
    head = text.strip(text[:1]).strip().partition("\n")[0].strip()[:MAX_LINE]
    return [f'{_indentation(source, first.start_byte) or "    "}"""{head}"""'] if head else []


def _comment_above(source: bytes, one: _Found) -> list[str]:
    """The first line of the comment right above a definition."""
    node = one.node
    while node.prev_named_sibling is None and node.parent and node.parent.parent:
        node = node.parent  # an export, a decoration
    found = None
    above, row = node.prev_named_sibling, node.start_point.row
    while above is not None and "comment" in above.type and above.end_point.row >= row - 1:
        found, row, above = above, above.start_point.row, above.prev_named_sibling
    if found is None or found.start_point.row == node.start_point.row:
        return []
    text = _text(found, source)
    if not text.startswith("/*"):
        return [text.partition("\n")[0].rstrip()[:MAX_LINE]]
    lines = (line.strip().strip("/*").strip() for line in text.splitlines())
    head = next((line for line in lines if line), "")
    return [f"/** {head[:MAX_LINE]} */"] if head else []


def _indentation(source: bytes, byte: int) -> str:
    """What stands before a place in its line, empty unless that is white space alone."""
    before = _decoded(source[source.rfind(b"\n", 0, byte) + 1 : byte])
    return before if before.isspace() else ""


def _text(node: tree_sitter.Node, source: bytes) -> str:
    return _decoded(source[node.start_byte : node.end_byte])


def _decoded(source: bytes) -> str:
    return source.decode("utf-8", "surrogatepass")
