"""What a file defines and what it takes from elsewhere, as other files would want to know it."""

import re
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

    @property
    def words(self) -> tuple[str, str]:
        """Words by which the file may speak of the module: its name here, and that one's end."""
        return self.bound, re.split(r"[./:\\]", self.bound)[-1]


@dataclass
class _Found:
    node: tree_sitter.Node
    body: tree_sitter.Node | None
    name: str
    kind: str
    container: str
    members: list["_Found"]


def symbols(tree: SyntaxTree) -> tuple[list[Definition], list[Import]]:
    """Definitions that other files can reach (none inside a function), and imports."""
    found, imported = [], []
    for name, captures in tree.matches("symbols"):
        if name.startswith(DEFINITION) and "name" in captures:
            body = captures.get("body")
            found.append(
                _Found(
                    captures[name][0],
                    body[0] if body else None,
                    _text(captures["name"][0], tree.source),
                    name.removeprefix(DEFINITION),
                    _text(captures["container"][0], tree.source) if "container" in captures else "",
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
    found.sort(key=lambda one: (one.node.start_byte, -one.node.end_byte, one.body is None))
    around: list[_Found] = []
    kept: list[_Found] = []
    for one in found:
        if kept and (kept[-1].name, kept[-1].node.start_byte) == (one.name, one.node.start_byte):
            continue
        while around and around[-1].node.end_byte <= one.node.start_byte:
            around.pop()
        if all(outer.kind != "function" for outer in around):
            container = next((o for o in reversed(around) if o.kind != "namespace"), None)
            if container is not None:
                one.container = container.name
                container.members.append(one)
            kept.append(one)
        if one.body is not None:
            around.append(one)
    return [
        Definition(one.name, one.kind, one.container, one.node.start_point.row, _outline(tree, one))
        for one in kept
        if one.kind not in ("scope", "namespace")
    ]


def _outline(tree: SyntaxTree, one: _Found) -> str:
    """Signature, description and members' signatures, without the indentation of the first line."""
    source = tree.source
    margin = _line_start(source, one.node.start_byte)
    lines = [*_comment_above(tree, one), _signature(source, one), *_docstring(tree, one)]
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
        return first[:MAX_LINE].rstrip(" \t{")
    signature = source[one.node.start_byte : one.body.start_byte].decode("utf-8", "surrogatepass")
    return signature.rstrip()[: MAX_OUTLINE // 2].rstrip(" \t{")


def _docstring(tree: SyntaxTree, one: _Found) -> list[str]:
    """The first line of the string that begins a body, where that is how things are described."""
    if tree.language is None or languages()[tree.language].description != "string":
        return []
    source = tree.source
    first = one.body.named_child(0) if one.body and one.body.named_child_count else None
    inner = first.named_child(0) if first and first.named_child_count else None
    if first is None or inner is None or inner.type != "string":
        return []
    text = _text(inner, source).lstrip("rRuUbB")
    head = text.strip(text[:1]).strip().partition("\n")[0].strip()[:MAX_LINE]
    indent = _text_of(source, _line_start(source, first.start_byte), first)
    return [f'{indent if indent.isspace() else "    "}"""{head}"""'] if head else []


def _comment_above(tree: SyntaxTree, one: _Found) -> list[str]:
    """The first line of the comment right above a definition, elsewhere."""
    if tree.language is None or languages()[tree.language].description != "comments":
        return []
    node = one.node
    while node.prev_named_sibling is None and node.parent and node.parent.parent:
        node = node.parent  # an export, a decoration
    found = None
    above, row = node.prev_named_sibling, node.start_point.row
    while above is not None and "comment" in above.type and above.end_point.row >= row - 1:
        found, row, above = above, above.start_point.row, above.prev_named_sibling
    if found is None or found.start_point.row == node.start_point.row:
        return []
    text = _text(found, tree.source)
    if not text.startswith("/*"):
        return [text.partition("\n")[0].rstrip()[:MAX_LINE]]
    lines = (line.strip().strip("/*").strip() for line in text.splitlines())
    head = next((line for line in lines if line), "")
    return [f"/** {head[:MAX_LINE]} */"] if head else []


def _line_start(source: bytes, byte: int) -> int:
    return source.rfind(b"\n", 0, byte) + 1


def _text_of(source: bytes, start: int, until: tree_sitter.Node) -> str:
    return source[start : until.start_byte].decode("utf-8", "surrogatepass")


def _text(node: tree_sitter.Node, source: bytes) -> str:
    return source[node.start_byte : node.end_byte].decode("utf-8", "surrogatepass")
