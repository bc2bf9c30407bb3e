"""The changed span is exact; an incrementally parsed tree equals a newly parsed one."""

from collections.abc import Iterator

import tree_sitter
from hypothesis import given, settings
from hypothesis import strategies as st

from code_context.syntax import SyntaxTree, TreeCache, parse
from code_context.text_diff import changed_span

PIECES = st.sampled_from(
    ["x", "(", ")", "[", "}", "\n", "\r\n", "\r", "\t", "    ", '"', "'", '"""', "#", ":", ".", "=",
     "é", "😀", "ß = 'ü'", "def f(a):\n    return a\n", "class A:\n\tpass\r\n", "if x:", "\f", "\0",
     "# ☃\n", "f'{x}'", "async ", "import a.b as c\n", "\ud800", "\u2028"]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=40).map("".join)


def nodes(tree: SyntaxTree) -> Iterator[tuple[str, int, int, bool]]:
    """Every node of a tree, in order."""
    stack: list[tree_sitter.Node] = [tree.root] if tree.root is not None else []
    while stack:
        node = stack.pop()
        yield node.type, node.start_byte, node.end_byte, node.is_missing
        stack += reversed(node.children)


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_the_changed_span_is_exact(head: str, one: str, other: str, tail: str) -> None:
    old, new = head + one + tail, head + other + tail
    start, old_end, new_end = changed_span(old, new)
    assert 0 <= start <= min(old_end, new_end)
    assert old[:start] == new[:start]
    assert old[old_end:] == new[new_end:]
    assert old_end - start <= len(one)
    assert new_end - start <= len(other)
    if old == new:
        assert old_end == new_end == start


@given(TEXTS, st.data())
@settings(deadline=None, max_examples=150)
def test_incremental_parsing_equals_parsing(text: str, data: st.DataObject) -> None:
    tree = parse(text, "python")
    for _ in range(data.draw(st.integers(1, 6))):
        assert list(nodes(tree)) == list(nodes(parse(text, "python")))
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 12)))
        text = text[:start] + data.draw(PIECES) + text[end:]
        tree = parse(text, "python", tree)
    assert list(nodes(tree)) == list(nodes(parse(text, "python")))


def test_the_tree_cache_keeps_the_latest_documents() -> None:
    trees = TreeCache(max_documents=2)
    first = trees.parse("x = 1\n", "python", "a.py")
    assert trees.parse("x = 1\n", "python", "a.py") is first
    second = trees.parse("x = 12\n", "python", "a.py")
    assert second is not first
    assert list(nodes(second)) == list(nodes(parse("x = 12\n", "python")))
    assert list(nodes(first)) == list(nodes(parse("x = 1\n", "python"))), (
        "the previous tree is unchanged"
    )
    trees.parse("", "python", "b.py")
    trees.parse("", "python", "c.py")
    assert trees.parse("x = 12\n", "python", "a.py") is not second
