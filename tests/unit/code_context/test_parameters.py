"""What a prompt file says of its context comes back as it was, or is refused in a sentence."""

import json
from dataclasses import replace

import pytest

from code_context.context import ContextConfig, Snippet, build_context
from code_context.parameters import ContextParametersError, described, understood
from code_context.syntax import parse

OTHER = ContextConfig(
    max_prefix_tokens=256,
    max_header_tokens=0,
    sources=(("definition", 0.5), ("similar", 1.0)),
    order=("definition", "recent", "similar"),
)


def test_the_default_says_nothing() -> None:
    assert described(ContextConfig()) == {}
    assert understood({}) == ContextConfig()


def test_others_come_back_whole() -> None:
    told = json.loads(json.dumps(described(OTHER)))
    assert understood(told) == OTHER
    assert set(told) == set(ContextConfig.__dataclass_fields__), "a later default changes nothing"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"max_prefix_tokens": 10**12}, "max_prefix_tokens must be a whole number from 1 to"),
        ({"max_prefix_tokens": -1}, "max_prefix_tokens must be"),
        ({"max_suffix_tokens": True}, "max_suffix_tokens must be"),
        ({"max_header_tokens": 1.5}, "max_header_tokens must be"),
        ({"block_lines": 0}, "block_lines must be"),
        ({"max_snippet_tokens": None}, "max_snippet_tokens must be"),
        ({"sources": [["similar", 2.0]]}, "sources must be"),
        ({"sources": [["similar", 0.5], ["similar", 0.5]]}, "sources must be"),
        ({"sources": [["secrets", 0.5]]}, "sources must be"),
        ({"sources": [[["similar"], 0.5]]}, "sources must be"),
        ({"sources": [["similar", 0.1]] * 10_000}, "sources must be"),
        ({"sources": {"similar": 0.5}}, "sources must be"),
        ({"order": ["similar", "similar", "recent"]}, "order must name"),
        ({"order": ["similar"]}, "order must name"),
        ({"order": 3}, "order must name"),
        ({"retriever": "x" * 1000}, "knows no parameter 'retriever'"),
    ],
)
def test_hostile_values_are_refused(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ContextParametersError) as refused:
        understood({**described(OTHER), **change})
    assert sentence in str(refused.value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("name", sorted(described(OTHER)))
def test_nothing_is_guessed(name: str) -> None:
    told = described(OTHER)
    del told[name]
    with pytest.raises(ContextParametersError, match=f"it lacks {name}"):
        understood(told)


def test_the_order_is_followed() -> None:
    snippets = (Snippet("a.py", "one = 1\n", "similar"), Snippet("b.py", "two = 2\n", "definition"))
    tree = parse("x = 1\n", "python")
    shown = {
        order: [
            one.source
            for one in build_context(
                tree, "c.py", 6, config=replace(OTHER, order=order), count_tokens=len,
                snippets=snippets,
            ).snippets
        ]
        for order in (OTHER.order, ContextConfig.order)
    }  # fmt: skip
    assert shown[OTHER.order] == ["definition", "similar"]
    assert shown[ContextConfig.order] == ["similar", "definition"]
