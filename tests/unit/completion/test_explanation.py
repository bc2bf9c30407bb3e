"""The explanation of `attune why` is that of the completion which is served."""

from dataclasses import replace

import pytest

from code_context.completion_kind import CompletionKind
from code_context.index import RepositoryIndex
from code_context.retrieval import Retriever
from code_model.decoder.model import DecoderModel
from code_model.show_thresholds import ShowThresholds
from completion.explanation import explain
from completion.model_input import CompletionPoint, input_and_typed, model_input
from completion.pipeline import complete

TEXT = "from store import Store\n\nstore = Store(\n"
OFFSET = TEXT.index("Store(") + 6


@pytest.fixture
def point() -> CompletionPoint:
    """A cursor with a definition in another file, and a file that retrieval excludes."""
    index = RepositoryIndex()
    index.put("store.py", "class Store:\n    def add(self, name):\n        pass\n" * 3)
    index.put("keys.py", "KEY = 'AKIA" + "QYLPMN5HFIQR7XYA'\n")
    return CompletionPoint.parse(TEXT, "a.py", OFFSET, Retriever(index))


def test_the_pieces_are_the_input_that_is_served(
    base: DecoderModel, point: CompletionPoint
) -> None:
    session = base.open()
    explanation = explain(session, point)
    served = model_input(base.encoder, replace(point, room=session.room(48)))
    assert [token for piece in explanation.pieces for token in piece.ids] == served
    assert explanation.input_tokens == len(served)
    assert [piece.source for piece in explanation.pieces][-3:] == ["suffix", "prefix", "middle"]
    assert explanation.pieces[0].path == "store.py"
    assert explanation.result.text == complete(base.open(), point).text


def test_the_threshold_is_that_of_the_setting(base: DecoderModel, point: CompletionPoint) -> None:
    model = replace(base, show_thresholds=ShowThresholds(eager=-1e6, balanced=-1e6, sure=0.0))
    assert explain(model.open(), point, "eager").result.reason != "below_threshold"
    assert explain(model.open(), point, "sure").result.reason == "below_threshold"


def test_missing_context_is_noted(base: DecoderModel, point: CompletionPoint) -> None:
    session = base.open()
    assert explain(session, point).notes == ("1 file is left out: may hold a secret.",)
    assert explain(session, CompletionPoint.parse("x = ", "a.txt", 4)).notes == (
        "No grammar knows this kind of file: only the plain window is given.",
        "The file is in no repository: no other file is given.",
    )
    huge = "x = 1\n" * 400_000
    notes = explain(session, CompletionPoint.parse(huge, "a.py", len(huge))).notes
    assert notes[0] == "The file is too large to be parsed: only the plain window is given."
    assert notes[1] == "Other files never see this one (too large)."


def test_an_empty_result_is_explained_with_its_input(base: DecoderModel) -> None:
    explanation = explain(base.open(), CompletionPoint.parse("x = 'in a string'", "a.py", 9))
    assert explanation.result.kind is CompletionKind.NONE
    assert explanation.result.reason == "in_string"
    assert explanation.tokens == ()
    sources = [piece.source for piece in explanation.pieces]
    assert sources == ["header", "suffix", "prefix", "middle"]


def test_one_more_letter_costs_few_tokens(base: DecoderModel, point: CompletionPoint) -> None:
    explanation = explain(base.open(), point)
    assert 1 <= explanation.next_letter <= 8
    assert all(0 <= token.probability <= 1 for token in explanation.tokens)


def test_unused_snippets_have_a_reason(base: DecoderModel) -> None:
    index = RepositoryIndex()
    for n in range(40):
        index.put(
            f"store_{n}.py", f"def use_store_{n}(store):\n    return store.add_row({n})\n" * 4
        )
    text = "def add(store):\n    store.add_row(1)\n    x = \n"
    offset = text.index("x = ") + 4
    explanation = explain(
        base.open(), CompletionPoint.parse(text, "a.py", offset, Retriever(index))
    )
    assert explanation.left_out
    assert {snippet.reason for snippet in explanation.left_out} <= {"no room", "shown already"}


def test_the_text_that_is_written_again_is_noted(left_to_right: DecoderModel) -> None:
    session, text = left_to_right.open(), "def f(x):\n    return x.re"
    point = CompletionPoint.parse(text, "a.py", len(text))
    explanation = explain(session, point)
    served, typed = input_and_typed(left_to_right.encoder, point)
    assert typed
    assert [token for piece in explanation.pieces for token in piece.ids] == served
    assert repr(typed) in explanation.notes[0]
