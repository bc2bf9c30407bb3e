"""Scopes of a syntax tree: classes and functions, their members, and import statements."""

from dataclasses import dataclass

from code_context.syntax import DEFINITION, IMPORT_DEPTH, Span, SyntaxTree

MEMBER_DEPTH = 3  # levels below a class: its body, a member, a decorated member


@dataclass(frozen=True)
class Scope:
    """A class or function (`kind` as in the language's query). Its signature is the text from
    `start` to `body_start`.
    """

    start: int
    body_start: int
    end: int
    kind: str = "function"


def find_scopes(tree: SyntaxTree, around: Span | None = None) -> list[Scope]:
    """Classes and functions with a body, outer before inner; with `around`, those touching it."""
    scopes = set()
    for name, captures in tree.matches("symbols", around):
        if name.startswith(DEFINITION) and "body" in captures:
            whole, body = tree.span(captures[name][0]), tree.span(captures["body"][0])
            kind = name.removeprefix(DEFINITION)
            scopes.add(Scope(whole.start, body.start, whole.end, kind))
    return sorted(scopes, key=lambda scope: (scope.start, -scope.end))


def members_of(tree: SyntaxTree, scope: Scope) -> list[Scope]:
    """Definitions directly in a scope's body, in source order.

    A member without a body consists of a signature only (`body_start == end`).
    """
    if tree.root is None:
        return []
    to_byte = tree.lines.to_byte
    body = tree.root.named_descendant_for_byte_range(to_byte(scope.body_start), to_byte(scope.end))
    owner = None if body is None else body.parent or body
    if owner is None:
        return []
    members: dict[int, Scope] = {}
    for name, captures in tree.matches_below(owner, "symbols", MEMBER_DEPTH):
        if not name.startswith(DEFINITION):
            continue
        whole = tree.span(captures[name][0])
        body_start = tree.span(captures["body"][0]).start if captures.get("body") else whole.end
        if whole.start > scope.start and whole.start not in members:
            kind = name.removeprefix(DEFINITION)
            members[whole.start] = Scope(whole.start, body_start, whole.end, kind)
    return [members[start] for start in sorted(members)]


def enclosing_scopes(tree: SyntaxTree, offset: int) -> list[Scope]:
    """Classes and functions around the cursor, outermost first.

    A cursor behind the end of a scope still belongs to it while the cursor's line is indented
    deeper than the scope's first line: the user is continuing the body.
    """
    lines, text = tree.lines, tree.text
    line = lines.line_of(offset)
    column = _indentation(text[lines.starts[line] : offset])
    last_code = len(text[:offset].rstrip())
    enclosing = []
    for scope in find_scopes(tree, Span(max(0, last_code - 1), min(len(text), offset + 1))):
        if scope.start >= offset:
            break
        outer = _indentation(lines.line_text(lines.line_of(scope.start)))
        is_at_end = scope.end <= offset and not text[scope.end : offset].strip()
        if offset < scope.end or (is_at_end and column > outer):
            enclosing.append(scope)
    return enclosing


def import_spans(tree: SyntaxTree) -> list[Span]:
    """Spans of the import statements, in source order."""
    spans = {
        tree.span(captures["import"][0])
        for name, captures in tree.matches("symbols", depth=IMPORT_DEPTH)
        if name == "import"
    }
    return sorted(spans, key=lambda span: span.start)


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))
