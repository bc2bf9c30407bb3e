"""The file header: lines of the open file above the window that a reader of the window needs."""

from collections.abc import Callable

from code_context.scopes import Scope, enclosing_scopes, import_spans, members_of
from code_context.syntax import Span, SyntaxTree

# priorities of the header's parts; the first is the most important
SIGNATURE, IMPORT, MEMBER = 0, 1, 2


def file_header(
    tree: SyntaxTree,
    window: Span,
    offset: int,
    max_tokens: int,
    count_tokens: Callable[[str], int],
) -> str:
    """Signatures of the enclosing scopes, imports, and signatures of the class's other members.

    Only those outside the window, as many as fit, in source order. Empty if the window begins at
    the start of the file.
    """
    parts = _parts(tree, window, offset) if window.start else []
    kept: list[tuple[int, str]] = []
    for _, start, text in sorted(parts, key=lambda part: (part[0], -part[1])):
        cost = count_tokens(text)
        if cost <= max_tokens:
            kept.append((start, text))
            max_tokens -= cost
    return "".join(text for _, text in sorted(kept))


def _parts(tree: SyntaxTree, window: Span, offset: int) -> list[tuple[int, int, str]]:
    """Parts of the header as (priority, offset, text)."""
    scopes = [scope for scope in enclosing_scopes(tree, offset) if scope.start < window.start]
    parts = [(SIGNATURE, scope.start, _signature(tree, scope, window.start)) for scope in scopes]
    classes = [scope for scope in scopes if scope.kind != "function"]
    for member in members_of(tree, classes[-1]) if classes else ():
        is_visible = window.start <= member.start < window.end
        if not is_visible and all(member.start != scope.start for scope in scopes):
            parts.append((MEMBER, member.start, _signature(tree, member, len(tree.text))))
    for span in import_spans(tree):
        if span.end <= window.start:
            parts.append((IMPORT, span.start, tree.text[span.start : span.end] + "\n"))
    return parts


def _signature(tree: SyntaxTree, scope: Scope, limit: int) -> str:
    """The lines of a scope's signature, up to the offset `limit`."""
    first = tree.lines.starts[tree.lines.line_of(scope.start)]
    return tree.text[first : min(scope.body_start, limit)].rstrip() + "\n"
