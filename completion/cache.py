"""Answers that are already known: typing through one, deleting back to one, accepting one.

A radix tree over file and text before the cursor. On the way to a request's own text lie the states
in which it was asked before: the same state answers again, and an earlier one whose text goes on
with what was typed since answers with the rest of it. Words typed on in a string or a comment leave
it one.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from code_context.brackets import CLOSERS, QUOTES
from completion.edit_range import replaced_length
from completion.request import CompletionRequest, CompletionResult

MAX_ANSWERS = 512
MAX_CHARACTERS = 4_000_000  # of the texts that tell states apart
LASTING = ("in_string", "in_comment")
# no language ends a string or a comment, or goes to code, by these
WORDS = re.compile(r"[\w \t.,:;-]*")
CLOSED_BY_EDITOR = 3  # brackets and quotes that typing may have put behind the cursor


@dataclass(eq=False)
class _Node:
    """`label` leads here from `above`; `answers` by the hash of the text behind the cursor."""

    label: str
    above: "_Node | None"
    below: dict[str, "_Node"] = field(default_factory=dict)
    answers: dict[int, CompletionResult] = field(default_factory=dict)


class CompletionCache:
    """The least recently used answers go first."""

    def __init__(self) -> None:
        self._root = _Node("", None)
        self._order: OrderedDict[tuple[_Node, int], None] = OrderedDict()
        self._characters = 0

    def __len__(self) -> int:
        return len(self._order)

    def clear(self) -> None:
        """Forget everything."""
        self.__init__()  # type: ignore[misc]

    def add(self, request: CompletionRequest, answer: CompletionResult) -> None:
        """Remember the answer to a request."""
        node, behind = self._node_for(_key(request)), hash(request.text[request.offset :])
        node.answers[behind] = answer
        self._order[node, behind] = None
        self._order.move_to_end((node, behind))
        while len(self._order) > MAX_ANSWERS or self._characters > MAX_CHARACTERS:
            (oldest, old_behind), _ = self._order.popitem(last=False)
            del oldest.answers[old_behind]
            self._prune(oldest)

    def find(self, request: CompletionRequest) -> CompletionResult | None:
        """What is known for this state, None if the model has to be asked.

        An empty answer stands for the very state it was given in, and for those that only type
        what was withheld. Inside of a string or a comment silence lasts while words are typed. An
        explicit request wants alternatives, and silence does not satisfy it.
        """
        key, behind = _key(request), request.text[request.offset :]
        places = [(added, hash(behind[added:])) for added in _added_closers(behind)]
        for node, depth in reversed(list(self._path(key))):
            for added, place in places:
                answer = node.answers.get(place)
                if answer is None or (request.explicit and answer.alternatives is None):
                    continue
                typed = key[depth:]
                rest = _rest(answer.text, typed)
                if not rest and (answer.text or added or request.explicit):
                    continue
                if not rest and not _lasts(answer, typed):
                    continue
                if replaced_length(rest, behind[:added]) < added:
                    continue
                self._order.move_to_end((node, place))
                return answer.after(typed) if rest else replace(answer, text=rest)
        return None

    def _path(self, key: str) -> Iterator[tuple[_Node, int]]:
        """The nodes that `key` leads through, with the length of the text before each."""
        node, depth = self._root, 0
        while True:
            if node.answers:
                yield node, depth
            following = node.below.get(key[depth : depth + 1])
            if following is None or not key.startswith(following.label, depth):
                return
            node, depth = following, depth + len(following.label)

    def _node_for(self, key: str) -> _Node:
        node, depth = self._root, 0
        while depth < len(key):
            following = node.below.get(key[depth])
            if following is None:
                following = _Node(key[depth:], node)
                node.below[key[depth]] = following
                self._characters += len(following.label)
            elif not key.startswith(following.label, depth):
                following = _split(following, _common(following.label, key[depth:]))
            node, depth = following, depth + len(following.label)
        return node

    def _prune(self, node: _Node) -> None:
        """Take away what leads to no answer, and join what forks no more."""
        while node.above is not None and not node.answers and not node.below:
            del node.above.below[node.label[0]]
            self._characters -= len(node.label)
            node = node.above
        if node.above is not None and not node.answers and len(node.below) == 1:
            (child,) = node.below.values()
            child.label = node.label + child.label
            child.above = node.above
            node.above.below[child.label[0]] = child


def _key(request: CompletionRequest) -> str:
    side = "without" if request.without_prompt else "with"
    return f"{request.path}\0{side}\0{request.text[: request.offset]}"


def _rest(text: str, typed: str) -> str:
    return text[len(typed) :] if text.startswith(typed) else ""


def _lasts(answer: CompletionResult, typed: str) -> bool:
    """Whether silence goes on behind `typed`."""
    if answer.reason in LASTING and WORDS.fullmatch(typed):
        return True
    return answer.stays_silent(typed)


def _added_closers(behind: str) -> Iterator[int]:
    """How many characters behind the cursor typing may have added there."""
    yield 0
    for added, one in enumerate(behind[:CLOSED_BY_EDITOR], start=1):
        if one not in CLOSERS and one not in QUOTES:
            return
        yield added


def _split(node: _Node, at: int) -> _Node:
    """A new node in the middle of the label that leads to `node`."""
    above = node.above
    assert above is not None  # noqa: S101 (the root has no label to split)
    middle = _Node(node.label[:at], above, {node.label[at]: node})
    above.below[middle.label[0]] = middle
    node.label, node.above = node.label[at:], middle
    return middle


def _common(one: str, other: str) -> int:
    """Length of the common beginning, by halving."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
