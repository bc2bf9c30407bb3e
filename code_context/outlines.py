"""Outlines of definitions: what another file needs to know, without bodies."""

from dataclasses import dataclass, field
from operator import attrgetter

import tree_sitter

from code_context.languages import Language

MAX_OUTLINE = 1_200  # characters
MAX_MEMBERS = 16  # of a class in its outline
MAX_LINE = 200  # characters of a value or a documentation line
INDENT = "    "  # of members that are on the same line as their class


@dataclass(slots=True)
class DefinitionMatch:
    """A matched definition. Positions are in bytes; `scope` is the enclosing class, if any."""

    node: tree_sitter.Node
    body: tree_sitter.Node | None
    name: str
    kind: str
    container: str
    scope: "DefinitionMatch | None" = None
    members: list["DefinitionMatch"] = field(default_factory=list)

    @property
    def start(self) -> int:
        """The first byte."""
        return self.node.start_byte

    @property
    def end(self) -> int:
        """The byte behind the last one."""
        return self.node.end_byte


def outline(source: bytes, match: DefinitionMatch, language: Language) -> str:
    """The signature, the first line of documentation and, for a class, its members' signatures.

    A member's outline stands in its scope, as `class Store { ... }` or `impl Store { ... }`.
    """
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
    text = "\n".join(lines)[:MAX_OUTLINE].rstrip()
    if match.scope is not None and match.kind != "class":
        text = _in_scope(source, text, match.scope, indentation, language)
    return text + "\n"


def _in_scope(
    source: bytes, member: str, scope: DefinitionMatch, indentation: str, language: Language
) -> str:
    """A member's outline between the first and the last line of its scope, as in the source."""
    opening, closing = _scope_lines(source, scope, language)
    if language.block == "indentation":
        indentation = INDENT
    else:
        indentation = indentation.removeprefix(_indentation(source, scope.start)) or INDENT
    members = "\n".join(indentation + line for line in member.splitlines())
    return "\n".join(filter(None, (opening, members, closing)))


def _scope_lines(source: bytes, scope: DefinitionMatch, language: Language) -> tuple[str, str]:
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
    keyword, brace, _ = node_text(scope.body, source).partition("{")
    # in C++ a semicolon ends the declaration
    closing = "};" if source[scope.end : scope.end + 1] == b";" else "}"
    return signature + (keyword if brace else "") + "{", closing


def _signature(source: bytes, match: DefinitionMatch) -> str:
    if match.body is None:
        first = _decoded(source[match.start : match.end].partition(b"\n")[0])
        return first[:MAX_LINE].rstrip(" \t{")
    signature = _decoded(source[match.start : match.body.start_byte])
    return signature.rstrip()[: MAX_OUTLINE // 2].rstrip(" \t{")


def _docstring(source: bytes, match: DefinitionMatch) -> list[str]:
    """The first line of the string that starts the body, as a docstring; empty without one."""
    if match.body is None or not match.body.named_child_count:
        return []
    first = match.body.named_child(0)
    inner = first.named_child(0) if first and first.named_child_count else None
    if first is None or inner is None or inner.type != "string":
        return []
    text = node_text(inner, source).lstrip("rRuUbB")
    head = text.strip(text[:1]).strip().partition("\n")[0].strip()[:MAX_LINE]
    return [f'{_indentation(source, first.start_byte) or INDENT}"""{head}"""'] if head else []


def _comment_above(source: bytes, match: DefinitionMatch) -> list[str]:
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
    text = node_text(comment, source)
    if not text.startswith("/*"):
        return [text.partition("\n")[0].rstrip()[:MAX_LINE]]
    lines = (line.strip().strip("/*").strip() for line in text.splitlines())
    head = next((line for line in lines if line), "")
    return [f"/** {head[:MAX_LINE]} */"] if head else []


def _indentation(source: bytes, byte: int) -> str:
    """The white space before a position in its line; empty if anything else is before it."""
    before = _decoded(source[source.rfind(b"\n", 0, byte) + 1 : byte])
    return before if before.isspace() else ""


def node_text(node: tree_sitter.Node, source: bytes) -> str:
    """The text of a node."""
    return _decoded(source[node.start_byte : node.end_byte])


def _decoded(source: bytes) -> str:
    return source.decode("utf-8", "surrogatepass")
