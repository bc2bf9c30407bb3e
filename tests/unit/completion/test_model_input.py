"""The model's input at a cursor: budgets, and snippets of other files."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_context.context import ContextConfig
from code_context.index import RepositoryIndex
from code_context.retrieval import Retriever
from code_model.decoder.model import DecoderModel
from code_model.fim import FimEncoder
from completion.model_input import CompletionPoint, model_input


@given(st.integers(64, 500), st.integers(0, 200))
@settings(deadline=None, max_examples=30)
def test_the_input_fits_the_room(base: DecoderModel, room: int, lines: int) -> None:
    text = "value = compute(value)\n" * lines
    point = replace(CompletionPoint.parse(text, "a.py", len(text) // 2), room=room)
    assert len(model_input(base.encoder, point)) <= room


@given(st.integers(150, 500), st.integers(0, 200))
@settings(deadline=None, max_examples=30)
def test_the_input_fits_the_room_without_infilling(
    left_to_right: DecoderModel, room: int, lines: int
) -> None:
    """Where the suffix stands under its path too."""
    test_input = "value = compute(value)\n" * lines
    point = CompletionPoint.parse(test_input, "package/module.py", len(test_input) // 2)
    assert len(model_input(left_to_right.encoder, replace(point, room=room))) <= room


def test_no_more_is_given_than_the_model_sees(base: DecoderModel) -> None:
    text = "value = compute(value)\n" * 200
    point = CompletionPoint.parse(text, "a.py", len(text) // 2)
    near = replace(base.encoder.template, max_input_tokens=150)
    assert len(model_input(base.encoder, point)) > 150
    assert len(model_input(FimEncoder(base.tokenizer, near), point)) <= 150


@pytest.fixture
def point() -> CompletionPoint:
    """A cursor behind a name of another file."""
    index = RepositoryIndex()
    index.put("store.py", "class Store:\n    def add(self, name):\n        pass\n")
    text = "from store import Store\n\nstore = Store("
    return CompletionPoint.parse(text, "a.py", len(text), Retriever(index))


def test_snippets_stand_in_front(base: DecoderModel, point: CompletionPoint) -> None:
    ids = model_input(base.encoder, point)
    without = model_input(base.encoder, replace(point, retriever=None))
    assert ids[-len(without) :] == without
    snippets = base.tokenizer.decode(ids[: -len(without)])
    assert snippets.endswith("store.py\nclass Store:\n    def add(self, name):\n        pass\n")
    assert snippets.count("class Store") == 1


@pytest.mark.parametrize("room", [100, 150, 200, 300])
def test_snippets_fit_the_room(base: DecoderModel, point: CompletionPoint, room: int) -> None:
    assert len(model_input(base.encoder, replace(point, room=room))) <= room


def test_without_a_config_it_is_the_default(base: DecoderModel, point: CompletionPoint) -> None:
    explicit = replace(point, config=ContextConfig())
    assert model_input(base.encoder, point) == model_input(base.encoder, explicit)
