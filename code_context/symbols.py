"""What a file defines and what it takes from elsewhere, as other files would want to know it."""

from dataclasses import dataclass

import tree_sitter

from code_context.languages import languages
from code_context.syntax import DEFINITION, IMPORT_DEPTH, Captures, SyntaxTree

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


@dataclass
class _Found:
    node: tree_sitter.Node
    body: tree_sitter.Node | None
    name: str
    kind: str
    members: list["_Found"]


def symbols(tree: SyntaxTree) -> tuple[list[Definition], list[Import]]:
    """Definitions that other files can reach (none inside a function), and imports."""
    found, imported = [], []
    for name, captures in tree.matches("syntax"):
        if name.startswith(DEFINITION) and "name" in captures:
            body = captures.get("body")
            found.append(
                _Found(
                    captures[name][0],
                    body[0] if body else None,
                    _text(captures["name"][0], tree.source),
                    name.removeprefix(DEFINITION),
                    [],
                )
            )
        elif name == "import" and "module" in captures:
            imported.append(_import(captures, tree.source))
    return _reachable(tree, found), imported


def imported_names(tree: SyntaxTree) -> list[Import]:
    """The imports of a file alone."""
    return [
        _import(captures, tree.source)
        for name, captures in tree.matches("syntax", depth=IMPORT_DEPTH)
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
    """Definitions outside functions, each behind its container."""
    found.sort(key=lambda one: (one.node.start_byte, -one.node.end_byte))
    around: list[_Found] = []
    kept: list[tuple[_Found, str]] = []
    for one in found:
        while around and around[-1].node.end_byte <= one.node.start_byte:
            around.pop()
        outer = around[-1] if around else None
        if outer is None or outer.kind != "function":
            kept.append((one, outer.name if outer is not None else ""))
            if outer is not None:
                outer.members.append(one)
        if one.body is not None:
            around.append(one)
    return [
        Definition(one.name, one.kind, container, one.node.start_point.row, _outline(tree, one))
        for one, container in kept
        if one.kind != "scope"
    ]


def _outline(tree: SyntaxTree, one: _Found) -> str:
    """Signature, description and members' signatures, without the indentation of the first line."""
    source = tree.source
    margin = _line_start(source, one.node.start_byte)
    lines = [_signature(source, one)]
    lines += _description(tree, one)
    if one.kind == "class":
        # the way to make one first, then what it offers; what is private comes last
        ordered = sorted(one.members, key=lambda m: m.name.startswith("_") and m.name[:2] != "__")
        for member in sorted(ordered[:MAX_MEMBERS], key=lambda m: m.node.start_byte):
            indent = _text_of(source, _line_start(source, member.node.start_byte), member.node)
            lines.append((indent if indent.isspace() else "    ") + _signature(source, member))
    indent = source[margin : one.node.start_byte].decode("utf-8", "surrogatepass")
    if indent and indent.isspace():
        lines = [line.replace("\n" + indent, "\n").removeprefix(indent) for line in lines]
    return "\n".join(lines)[:MAX_OUTLINE].rstrip() + "\n"


def _signature(source: bytes, one: _Found) -> str:
    if one.body is None:
        first = _text(one.node, source).partition("\n")[0]
        return first[:MAX_LINE].rstrip().rstrip("{").rstrip()
    signature = source[one.node.start_byte : one.body.start_byte]
    return signature.decode("utf-8", "surrogatepass").rstrip()[: MAX_OUTLINE // 2]


def _description(tree: SyntaxTree, one: _Found) -> list[str]:
    """The first line of what the author says about a definition, as code."""
    if tree.language is None:
        return []
    source = tree.source
    if languages()[tree.language].description == "string":
        first = one.body.named_child(0) if one.body and one.body.named_child_count else None
        inner = first.named_child(0) if first and first.named_child_count else None
        if first is None or inner is None or inner.type != "string":
            return []
        text = _text(inner, source).lstrip("rRuUbB")
        head = text.strip(text[:1]).strip().partition("\n")[0].strip()[:MAX_LINE]
        indent = _text_of(source, _line_start(source, first.start_byte), first)
        return [f'{indent if indent.isspace() else "    "}"""{head}"""'] if head else []
    return []


def _line_start(source: bytes, byte: int) -> int:
    return source.rfind(b"\n", 0, byte) + 1


def _text_of(source: bytes, start: int, until: tree_sitter.Node) -> str:
    return source[start : until.start_byte].decode("utf-8", "surrogatepass")


def _text(node: tree_sitter.Node, source: bytes) -> str:
    return source[node.start_byte : node.end_byte].decode("utf-8", "surrogatepass")
