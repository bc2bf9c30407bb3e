"""Cache of completion results: typing through one, deleting back to one, accepting one.

A radix tree over the file's path and the text before the cursor. The nodes on the way to a
request's text are its earlier states: the same state gives the same result, and an earlier state
whose result begins with what was typed since gives the rest of it.
"""

import re
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace

from code_context.brackets import CLOSERS, QUOTES
from completion.edit_range import replaced_length
from completion.request import CompletionRequest, CompletionResult

MAX_RESULTS = 512
MAX_CHARACTERS = 4_000_000
"""Characters of all labels in the tree."""
TEXT_REASONS = ("in_string", "in_comment")
TEXT_TYPING = re.compile(r"[\w \t.,:;-]*")
"""What can be typed in a string or a comment without ending it, in every language."""
MAX_AUTO_CLOSERS = 3
"""Brackets and quotes that an editor may have inserted behind the cursor while typing."""


@dataclass(eq=False)
class _Node:
    """Reached from `parent` by `label`.

    `results` by the hash of the text behind the cursor, each with the version that computed it.
    """

    label: str
    parent: "_Node | None"
    children: dict[str, "_Node"] = field(default_factory=dict)
    """By the first character of their labels."""
    results: dict[int, tuple[Hashable, CompletionResult]] = field(default_factory=dict)


class CompletionCache:
    """Results of versions of the model; the least recently used are dropped first."""

    def __init__(self) -> None:
        self._root = _Node("", None)
        self._order: OrderedDict[tuple[_Node, int], None] = OrderedDict()
        self._characters = 0

    def __len__(self) -> int:
        return len(self._order)

    def add(
        self, request: CompletionRequest, result: CompletionResult, version: Hashable = None
    ) -> None:
        """Store the result of a request, which the `version` of the model computed.

        If the text ends its syntax unit, the state after accepting it has nothing to add; that is
        stored too.
        """
        self._add(request, result, version)
        if result.text and result.ends and not result.text.endswith((":", "{")):
            accepted = request.after_accepting(result.text)
            if self.find(accepted, version) is None:
                self._add(accepted, CompletionResult("", "nothing_to_add"), version)

    def find(self, request: CompletionRequest, version: Hashable = None) -> CompletionResult | None:
        """The result of this `version` for a state, None if the model has to be run.

        An empty result holds for its own state, and while the text that was withheld is typed. In a
        string or a comment it also holds while words are typed. It does not hold for an explicit
        request, and neither does a result without alternatives.
        """
        key, after = _key(request), request.text[request.offset :]
        suffixes = [(added, hash(after[added:])) for added in _auto_closers(after)]
        for node, depth in reversed(list(self._path(key))):
            for added, suffix in suffixes:
                computed_by, result = node.results.get(suffix, (None, None))
                if result is None or computed_by != version:
                    continue
                if request.explicit and result.alternatives is None:
                    continue
                typed = key[depth:]
                rest = result.text[len(typed) :] if result.text.startswith(typed) else ""
                if not rest and (result.text or added or request.explicit):
                    continue
                if not rest and not _stays_empty(result, typed):
                    continue
                if replaced_length(rest, after[:added]) < added:
                    continue
                self._order.move_to_end((node, suffix))
                return result.after(typed) if rest else replace(result, text="")
        return None

    def _add(self, request: CompletionRequest, result: CompletionResult, version: Hashable) -> None:
        node, suffix = self._node_for(_key(request)), hash(request.text[request.offset :])
        node.results[suffix] = version, result
        self._order[node, suffix] = None
        self._order.move_to_end((node, suffix))
        while len(self._order) > MAX_RESULTS or self._characters > MAX_CHARACTERS:
            (oldest, oldest_suffix), _ = self._order.popitem(last=False)
            del oldest.results[oldest_suffix]
            self._prune(oldest)

    def _path(self, key: str) -> Iterator[tuple[_Node, int]]:
        """The nodes with results on the way to `key`, each with the length of its text."""
        node, depth = self._root, 0
        while True:
            if node.results:
                yield node, depth
            child = node.children.get(key[depth : depth + 1])
            if child is None or not key.startswith(child.label, depth):
                return
            node, depth = child, depth + len(child.label)

    def _node_for(self, key: str) -> _Node:
        """The node of `key`, inserted if necessary."""
        node, depth = self._root, 0
        while depth < len(key):
            child = node.children.get(key[depth])
            if child is None:
                child = _Node(key[depth:], node)
                node.children[key[depth]] = child
                self._characters += len(child.label)
            elif not key.startswith(child.label, depth):
                child = _split(child, _common_length(child.label, key[depth:]))
            node, depth = child, depth + len(child.label)
        return node

    def _prune(self, node: _Node) -> None:
        """Remove nodes that lead to no result, and merge a node that no longer branches."""
        while node.parent is not None and not node.results and not node.children:
            del node.parent.children[node.label[0]]
            self._characters -= len(node.label)
            node = node.parent
        if node.parent is not None and not node.results and len(node.children) == 1:
            (child,) = node.children.values()
            child.label = node.label + child.label
            child.parent = node.parent
            node.parent.children[child.label[0]] = child


def _key(request: CompletionRequest) -> str:
    condition = "without" if request.without_prompt else "with"
    place = f"{request.document}\0{request.path}\0{request.language_id}"
    return f"{place}\0{condition}\0{request.text[: request.offset]}"


def _stays_empty(result: CompletionResult, typed: str) -> bool:
    if result.reason in TEXT_REASONS and TEXT_TYPING.fullmatch(typed):
        return True
    return result.stays_empty(typed)


def _auto_closers(after: str) -> Iterator[int]:
    """The numbers of characters behind the cursor that the editor may have inserted."""
    yield 0
    for count, character in enumerate(after[:MAX_AUTO_CLOSERS], start=1):
        if character not in CLOSERS and character not in QUOTES:
            return
        yield count


def _split(node: _Node, length: int) -> _Node:
    """Insert a node after the first `length` characters of the label of `node`; return it."""
    parent = node.parent
    assert parent is not None  # noqa: S101 (the root has no label to split)
    middle = _Node(node.label[:length], parent, {node.label[length]: node})
    parent.children[middle.label[0]] = middle
    node.label, node.parent = node.label[length:], middle
    return middle


def _common_length(first: str, second: str) -> int:
    """Length of the common beginning, by binary search: slices compare faster than characters."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
