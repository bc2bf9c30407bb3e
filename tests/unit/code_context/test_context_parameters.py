"""Context parameters survive the round trip through JSON; invalid ones are refused."""

import json
from dataclasses import replace

import pytest

from code_context import context_parameters
from code_context.context import ContextConfig, build_context
from code_context.context_parameters import ContextParametersError
from code_context.snippets import Snippet
from code_context.syntax import parse

CONFIG = ContextConfig(
    max_prefix_tokens=256,
    max_header_tokens=0,
    sources=(("definition", 0.5), ("similar", 1.0)),
    order=("definition", "recent", "similar"),
)
PARAMETERS = {
    "max_prefix_tokens": 256,
    "max_suffix_tokens": 128,
    "max_header_tokens": 0,
    "max_snippet_tokens": 256,
    "block_lines": 16,
    "sources": [["definition", 0.5], ["similar", 1.0]],
    "order": ["definition", "recent", "similar"],
}


def test_the_default_is_an_empty_dict() -> None:
    assert context_parameters.to_dict(ContextConfig()) == {}
    assert context_parameters.from_dict({}) == ContextConfig()


def test_round_trip() -> None:
    parameters = context_parameters.to_dict(CONFIG)
    assert parameters == PARAMETERS, "all of them: a later default changes nothing"
    assert context_parameters.from_dict(json.loads(json.dumps(parameters))) == CONFIG


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_prefix_tokens": 10**12}, "max_prefix_tokens: input should be less than or equal"),
        ({"max_prefix_tokens": -1}, "max_prefix_tokens: "),
        ({"max_suffix_tokens": True}, "max_suffix_tokens: "),
        ({"max_header_tokens": 1.5}, "max_header_tokens: "),
        ({"max_header_tokens": "64"}, "max_header_tokens: "),
        ({"block_lines": 0}, "block_lines: "),
        ({"max_snippet_tokens": None}, "max_snippet_tokens: "),
        ({"sources": [["similar", 2.0]]}, "sources: "),
        ({"sources": [["similar", float("nan")]]}, "sources: "),
        ({"sources": [["similar", True]]}, "sources: "),
        ({"sources": [["similar", 0.5], ["similar", 0.5]]}, "sources: each source may be named"),
        ({"sources": [["secrets", 0.5]]}, "sources: "),
        ({"sources": [[["similar"], 0.5]]}, "sources: "),
        ({"sources": [["similar", 0.1]] * 10_000}, "sources: "),
        ({"sources": {"similar": 0.5}}, "sources: "),
        ({"order": ["similar", "similar", "recent"]}, "order: name recent, similar, definition"),
        ({"order": ["similar"]}, "order: "),
        ({"order": 3}, "order: "),
        ({"retriever": "x" * 1000}, "the parameter 'retriever' is unknown"),
        ({"x" * 1000: 1}, "the parameter 'xxx"),
    ],
)
def test_invalid_values_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ContextParametersError) as refused:
        context_parameters.from_dict({**PARAMETERS, **change})
    assert str(refused.value).startswith(message)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_missing_parameter_is_not_filled_in(name: str) -> None:
    parameters = {key: value for key, value in PARAMETERS.items() if key != name}
    with pytest.raises(ContextParametersError, match=f"{name} is missing"):
        context_parameters.from_dict(parameters)


def test_snippets_stand_in_the_configured_order() -> None:
    snippets = (Snippet("a.py", "one = 1\n", "similar"), Snippet("b.py", "two = 2\n", "definition"))
    tree = parse("x = 1\n", "python")

    def sources(config: ContextConfig) -> list[str]:
        context = build_context(tree, "c.py", 6, config=config, count_tokens=len, snippets=snippets)
        return [snippet.source for snippet in context.snippets]

    assert sources(CONFIG) == ["definition", "similar"]
    assert sources(replace(CONFIG, order=ContextConfig.order)) == ["similar", "definition"]
