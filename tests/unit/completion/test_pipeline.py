"""From text and cursor to the text to insert, with a scripted engine in the model's place."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_context.context import ContextConfig
from code_context.index import RepositoryIndex
from code_context.retrieval import Retriever
from code_context.syntax import parse
from code_model.decoder.model import DecoderModel
from code_model.decoder.session import DecoderSession
from code_model.decoder.soft_prompt import kv_of_ids, kv_to_rows
from completion.pipeline import complete, model_input
from tests.conftest import cursor


class ScriptedEngine(DecoderSession):
    """Says a fixed text, token by token, through the real stop and cancel path."""

    def __init__(self, base: DecoderModel, says: str) -> None:
        super().__init__(base)
        self._says = says
        self.logprob = 0.0

    def generate(self, ids, *, max_new_tokens, stop=lambda text: False, cancelled=lambda: False):
        from code_model.language_model import Generation

        tokens = self.model.tokenizer.encode(self._says)
        said: list[int] = []
        for token in tokens[:max_new_tokens]:
            if cancelled():
                return Generation(tuple(said), "", (), "cancelled", 0)
            said.append(token)
            text = self.model.tokenizer.decode(said)
            if stop(text):
                return Generation(tuple(said), text, (self.logprob,) * len(said), "stop", 0)
        reason = "end" if len(tokens) <= max_new_tokens else "length"
        return Generation(
            tuple(said), self.model.tokenizer.decode(said), (self.logprob,) * len(said), reason, 0
        )


CASES = [
    ("x = $0", "foo(1)\ny = 2\n", "foo(1)"),
    ("x = $0", "foo(1)   ", "foo(1)"),
    ("x = $0", "\ny = 2", ""),
    ("def f():\n    $0", "a = 1\n    return a\n\n\ndef g():\n    pass", "a = 1\n    return a"),
    ("def f():$0", "\n    return 1\nx = 2", "\n    return 1"),
    ("def f():\r\n    $0\r\n", "a = 1\n    return a\nb", "a = 1\r\n    return a"),
    ("def f(\n    a,\n):\n    $0", "return a\nb = 1", "return a"),
    ("foo($0)", "a, b).c", "a, b"),
    ("foo(x[$0])", "(1)])", "(1)"),
    ("foo($0", "a)", "a)"),
]


@pytest.mark.parametrize(("marked", "says", "expected"), CASES)
def test_cut_to_one_unit(base: DecoderModel, marked: str, says: str, expected: str) -> None:
    at = cursor(marked)
    answer = complete(ScriptedEngine(base, says), at.text, "a.py", at.offset)
    assert answer.text == expected
    assert answer.reason == (None if expected else "nothing_to_add")


def test_half_a_line_at_the_limit_is_dropped(base: DecoderModel) -> None:
    at = cursor("def f():\n    $0")
    says = "a = 1\n" + "".join(f"    b = {n}{n * n}222222222222\n" for n in range(20))
    answer = complete(ScriptedEngine(base, says), at.text, "a.py", at.offset)
    assert answer.text.startswith("a = 1\n    b = ")
    assert answer.generation is not None
    assert answer.generation.finish_reason == "length"
    assert all(line in says.splitlines() for line in answer.text.splitlines())
    assert len(answer.text.splitlines()) > 2


def test_silence_has_a_reason_and_costs_no_model_step(base: DecoderModel) -> None:
    at = cursor("foo$0bar")
    answer = complete(base.open(), at.text, "a.py", at.offset)
    assert (answer.text, answer.reason, answer.generation) == ("", "inside_word", None)


def test_what_a_filter_silenced_is_known(base: DecoderModel) -> None:
    answer = complete(ScriptedEngine(base, "None"), "x = getattr(a, b)", "a.py", 4)
    assert (answer.text, answer.reason, answer.withheld) == ("", "joins_word", "None")


def test_below_the_threshold_it_is_silent_unless_asked(base: DecoderModel) -> None:
    """The tokens of the first line count, and those behind it do not."""
    engine = ScriptedEngine(base, "foo(1)\ny = 2")
    unsure = complete(engine, "x = ", "a.py", 4)
    assert (unsure.text, unsure.logprob, unsure.withheld) == ("foo(1)", 0.0, "")
    engine.logprob = -0.5
    sure = complete(engine, "x = ", "a.py", 4)
    tokens = len(base.tokenizer.encode("foo(1)\n"))
    assert sure.logprob == pytest.approx(-0.5 * tokens)
    for threshold, shown in ((sure.logprob - 0.01, True), (sure.logprob + 0.01, False)):
        engine.show_threshold = threshold
        answer = complete(engine, "x = ", "a.py", 4)
        assert (answer.text == "foo(1)") == shown
        assert answer.reason == (None if shown else "below_threshold")
        assert complete(engine, "x = ", "a.py", 4, explicit=True).text == "foo(1)"


def test_the_threshold_is_the_prompts(base: DecoderModel) -> None:
    from tests.unit.code_model.decoder.test_equalities import IDS, prompt_of

    rows = kv_to_rows(kv_of_ids(base.llama, IDS))
    prompt = prompt_of(base, "kv", rows)
    for measured, expected in (({}, None), ({"show_threshold": -1.5}, -1.5)):
        manifest = replace(prompt.manifest, measured=measured)
        assert base.open(replace(prompt, manifest=manifest)).show_threshold == expected
    assert base.open().show_threshold is None


def test_a_cancelled_request_is_empty(base: DecoderModel) -> None:
    answer = complete(base.open(), "x = ", "a.py", 4, cancelled=lambda: True)
    assert (answer.text, answer.reason) == ("", "cancelled")


@given(st.text(max_size=300), st.data())
@settings(deadline=None, max_examples=30)
def test_any_text_and_cursor_give_an_answer(
    base: DecoderModel, text: str, data: st.DataObject
) -> None:
    offset = data.draw(st.integers(0, len(text)))
    answer = complete(ScriptedEngine(base, "pass"), text, "a.py", offset, explicit=True)
    assert bool(answer.text) != bool(answer.reason)


@given(st.integers(64, 500), st.integers(0, 200))
@settings(deadline=None, max_examples=30)
def test_the_input_shrinks_into_the_room(base: DecoderModel, room: int, lines: int) -> None:
    text = "value = compute(value)\n" * lines
    tree = parse(text, "python")
    ids = model_input(base, tree, "a.py", len(text) // 2, config=ContextConfig(), room=room)
    assert len(ids) <= room


def test_other_files_stand_first_and_within_the_room(base: DecoderModel) -> None:
    index = RepositoryIndex()
    index.put("store.py", "class Store:\n    def add(self, name):\n        pass\n")
    text = "from store import Store\n\nstore = Store("
    asked = {"config": ContextConfig(), "repository": Retriever(index)}
    tree = parse(text, "python")
    ids = model_input(base, tree, "a.py", len(text), **asked)
    alone = model_input(base, tree, "a.py", len(text), config=ContextConfig())
    assert ids[-len(alone) :] == alone
    shown = base.tokenizer.decode(ids[: -len(alone)])
    assert shown.endswith("store.py\nclass Store:\n    def add(self, name):\n        pass\n")
    assert shown.count("class Store") == 1
    for room in (100, 150, 200, 300):
        assert len(model_input(base, tree, "a.py", len(text), room=room, **asked)) <= room
