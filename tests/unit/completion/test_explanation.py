"""What `attune why` says is what serving does."""

import pytest

from code_context.context import ContextConfig
from code_context.index import RepositoryIndex
from code_context.retrieval import Retriever
from code_context.syntax import parse
from code_model.decoder.model import DecoderModel
from completion.explanation import explain
from completion.pipeline import complete, model_input

TEXT = "from store import Store\n\nstore = Store(\n"
OFFSET = TEXT.index("Store(") + 6


@pytest.fixture
def repository() -> Retriever:
    index = RepositoryIndex()
    index.put("store.py", "class Store:\n    def add(self, name):\n        pass\n" * 3)
    index.put("keys.py", "KEY = 'AKIA" + "QYLPMN5HFIQR7XYA'\n")
    return Retriever(index)


def test_the_pieces_are_servings_input(base: DecoderModel, repository: Retriever) -> None:
    engine = base.open()
    found = explain(engine, TEXT, "a.py", OFFSET, repository=repository)
    ids = [token for piece in found.pieces for token in piece.ids]
    served = model_input(
        base, parse(TEXT, "python"), "a.py", OFFSET, config=ContextConfig(),
        room=engine.room(48), repository=repository,
    )  # fmt: skip
    assert ids == served
    assert found.input_tokens == len(served)
    assert [piece.source for piece in found.pieces][-3:] == ["suffix", "prefix", "middle"]
    assert found.pieces[0].path == "store.py"
    assert found.completion.text == complete(
        base.open(), TEXT, "a.py", OFFSET, repository=repository
    ).text  # fmt: skip


def test_what_is_missing_is_said(base: DecoderModel, repository: Retriever) -> None:
    engine = base.open()
    assert explain(engine, TEXT, "a.py", OFFSET, repository=repository).notes == (
        "1 file is left out: may hold a secret.",
    )
    alone = explain(engine, "x = ", "a.txt", 4)
    assert alone.notes == (
        "No grammar knows this kind of file: only the plain window is given.",
        "The file lies in no repository: no other file is given.",
    )
    huge = "x = 1\n" * 400_000
    notes = explain(engine, huge, "a.py", len(huge), repository=repository).notes
    assert notes[0] == "The file is too large to be parsed: only the plain window is given."
    assert notes[1] == "Other files never see this one (too large)."


def test_silence_has_its_reason_and_the_pieces_are_there_all_the_same(base: DecoderModel) -> None:
    found = explain(base.open(), "x = 'in a string'", "a.py", 9)
    assert (found.kind, found.reason, found.tokens) == ("none", "in_string", ())
    assert [piece.source for piece in found.pieces] == ["header", "suffix", "prefix", "middle"]


def test_one_more_letter_costs_few_tokens(base: DecoderModel, repository: Retriever) -> None:
    found = explain(base.open(), TEXT, "a.py", OFFSET, repository=repository)
    assert 1 <= found.next_letter <= 8
    assert all(0 <= token.probability <= 1 for token in found.tokens)


def test_left_out_candidates_have_a_reason(base: DecoderModel) -> None:
    index = RepositoryIndex()
    for n in range(40):
        index.put(
            f"store_{n}.py", f"def use_store_{n}(store):\n    return store.add_row({n})\n" * 4
        )
    text = "def add(store):\n    store.add_row(1)\n    x = \n"
    found = explain(base.open(), text, "a.py", text.index("x = ") + 4, repository=Retriever(index))
    assert found.left_out
    assert {one.reason for one in found.left_out} <= {"no room", "shown already"}
