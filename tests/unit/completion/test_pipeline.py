"""From a cursor to the text to insert, with a scripted session in place of the model."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_model.decoder.model import DecoderModel
from code_model.decoder.session import DecoderSession
from code_model.decoder.soft_prompt import kv_of_ids, kv_to_rows
from code_model.language_model import Generation
from code_model.show_thresholds import ShowThresholds
from completion.model_input import CompletionPoint, input_and_typed
from completion.pipeline import complete, present
from completion.request import CompletionResult
from tests.conftest import cursor
from tests.unit.code_model.decoder.test_equalities import IDS, prompt_of


class ScriptedSession(DecoderSession):
    """Generates a fixed text, token by token, and calls `stop` and `cancelled` as the real one."""

    def __init__(self, base: DecoderModel, text: str) -> None:
        super().__init__(base)
        self._text = text
        self.logprob = 0.0

    def generate(
        self,
        ids,
        *,
        max_new_tokens: int,
        threshold: float = -math.inf,
        stop: Callable[[str], bool] = lambda text: False,
        cancelled: Callable[[], bool] = lambda: False,
        must_spell: str = "",
    ) -> Generation:
        tokens = self.model.tokenizer.encode(self._text)
        new: list[int] = []
        text, reason = "", "end" if len(tokens) <= max_new_tokens else "length"
        for token in tokens[:max_new_tokens]:
            if cancelled():
                return Generation(tuple(new), "", (), "cancelled", 0)
            new.append(token)
            text = self.model.tokenizer.decode(new)
            if len(new) * self.logprob < threshold:
                reason = "unlikely"
                break
            if stop(text):
                reason = "stop"
                break
        return Generation(tuple(new), text, (self.logprob,) * len(new), reason, 0)


def completed(session: DecoderSession, marked: str, **options: object) -> CompletionResult:
    at = cursor(marked)
    return complete(session, CompletionPoint.parse(at.text, "a.py", at.offset), **options)


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


@pytest.mark.parametrize(("marked", "generated", "expected"), CASES)
def test_the_text_is_cut_to_one_syntax_unit(
    base: DecoderModel, marked: str, generated: str, expected: str
) -> None:
    result = completed(ScriptedSession(base, generated), marked)
    assert result.text == expected
    assert result.reason == (None if expected else "nothing_to_add")


def test_an_unfinished_line_at_the_token_limit_is_dropped(base: DecoderModel) -> None:
    generated = "a = 1\n" + "".join(f"    b = {n}{n * n}222222222222\n" for n in range(20))
    result = completed(ScriptedSession(base, generated), "def f():\n    $0")
    assert result.text.startswith("a = 1\n    b = ")
    assert result.generation is not None
    assert result.generation.finish_reason == "length"
    assert all(line in generated.splitlines() for line in result.text.splitlines())
    assert len(result.text.splitlines()) > 2


def test_where_the_syntax_forbids_a_completion_the_model_is_not_run(base: DecoderModel) -> None:
    result = completed(base.open(), "foo$0bar")
    assert (result.text, result.reason, result.generation) == ("", "inside_word", None)


def test_a_text_that_a_filter_removes_is_kept_as_withheld(base: DecoderModel) -> None:
    result = completed(ScriptedSession(base, "None"), "x = $0getattr(a, b)")
    assert (result.text, result.reason, result.withheld) == ("", "joins_word", "None")


def test_the_progress_is_the_text_after_every_token(base: DecoderModel) -> None:
    texts: list[str] = []
    completed(ScriptedSession(base, "foo(1)"), "x = $0", progress=texts.append)
    assert len(texts) > 1
    assert all(after.startswith(before) for before, after in pairwise(texts))
    assert texts[-1] == "foo(1)"


def tokens_up_to(base: DecoderModel, text: str, rest: str) -> int:
    """How many tokens of the whole text `text` takes; a token must end there."""
    ids = base.tokenizer.encode(text + rest)
    return next(n for n in range(len(ids)) if base.tokenizer.decode(ids[:n]) == text)


@pytest.mark.parametrize(
    ("threshold", "shown", "reason"),
    [
        (-100.0, "value(first, second)", None),
        (-0.51, "value(first", None),
        (-0.15, "", "below_threshold"),
    ],
)
def test_a_text_is_shown_as_far_as_it_is_likely(
    base: DecoderModel, threshold: float, shown: str, reason: str | None
) -> None:
    session = ScriptedSession(base, "value(first, second)")
    session.logprob = -0.5 / tokens_up_to(base, "value(first", ", second)")
    result = completed(session, "x = $0", threshold=threshold)
    assert (result.text, result.reason, result.withheld) == (shown, reason, "")
    assert result.ends == (shown == "value(first, second)")


def test_a_cut_line_is_not_asked_to_parse(base: DecoderModel) -> None:
    """`value(first` alone would be a syntax error in front of the next line."""
    session = ScriptedSession(base, "value(first, second)")
    session.logprob = -0.5 / tokens_up_to(base, "value(first", ", second)")
    assert completed(session, "x = $0\ny = 1\n", threshold=-0.51).text == "value(first"


def test_the_show_thresholds_are_the_prompts_else_the_models(base: DecoderModel) -> None:
    prompt = prompt_of(base, "kv", kv_to_rows(kv_of_ids(base.llama, IDS)))
    own = ShowThresholds(-3.0, -2.0, -1.0)
    for measured, expected in (
        ({}, base.show_thresholds),
        ({"show_thresholds": own.to_dict()}, own),
        ({"show_thresholds": {"eager": "low"}}, base.show_thresholds),
    ):
        manifest = replace(prompt.manifest, measured=measured)
        assert base.open(replace(prompt, manifest=manifest)).show_thresholds == expected
    assert base.open().show_thresholds == base.show_thresholds


def test_a_cancelled_request_has_no_text(base: DecoderModel) -> None:
    result = completed(base.open(), "x = $0", cancelled=lambda: True)
    assert (result.text, result.reason) == ("", "cancelled")


@given(st.text(max_size=300), st.data())
@settings(deadline=None, max_examples=30)
def test_every_text_and_cursor_has_a_text_or_a_reason(
    base: DecoderModel, text: str, data: st.DataObject
) -> None:
    offset = data.draw(st.integers(0, len(text)))
    point = CompletionPoint.parse(text, "a.py", offset)
    result = complete(ScriptedSession(base, "pass"), point, explicit=True)
    assert bool(result.text) != bool(result.reason)


def test_what_is_typed_of_a_token_is_generated_but_not_shown(left_to_right: DecoderModel) -> None:
    session, at = left_to_right.open(), cursor("class Reader:\n    def lines(self):\n        $0")
    point = CompletionPoint.parse(at.text, "a.py", at.offset)
    ids, typed = input_and_typed(left_to_right.encoder, point)
    assert typed.strip(" \n") == ""
    assert left_to_right.tokenizer.decode(ids) + typed == f"# a.py\n{at.text}"
    result = complete(session, point)
    generation = result.generation
    assert generation is not None
    text = left_to_right.tokenizer.decode(generation.ids)
    assert text == typed + generation.text
    for threshold in generation.logprobs:  # cut after each token
        shown = present(left_to_right, point, result.kind, generation, threshold).withheld
        assert generation.text.startswith(shown)


def test_a_model_that_does_not_infill_may_not_repeat_what_is_further_below(
    base: DecoderModel, left_to_right: DecoderModel
) -> None:
    repeated = "result = compute_everything(first, second)"
    marked = f"def f(first, second):\n    $0\n    check(first)\n    {repeated}\n    return 1\n"
    at = cursor(marked)
    point = CompletionPoint.parse(at.text, "a.py", at.offset)
    for model, text, reason in ((base, repeated, None), (left_to_right, "", "repeats_suffix")):
        result = complete(ScriptedSession(model, f"{repeated}\n"), point)
        assert (result.text, result.reason) == (text, reason)
