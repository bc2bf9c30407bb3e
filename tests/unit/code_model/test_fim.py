"""The FIM layout: golden order of pieces, and text that never becomes a special token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_context.context import Context
from code_context.snippets import Snippet
from code_model.decoder.model import DecoderModel
from code_model.fim import FimEncoder
from code_model.fim_templates import ATTUNE, TemplateError
from code_model.token_healing import TokenHealing

CONTEXT = Context(
    path="a.py",
    header="import os\n",
    snippets=(Snippet("b.py", "b = 1"),),
    prefix="x = ",
    suffix="\ny = 2",
)


def test_suffix_first_order(base: DecoderModel) -> None:
    text = base.tokenizer.decode(base.encoder.encode(CONTEXT))
    assert text == (
        "<|file_sep|>b.py\nb = 1<|file_sep|>a.py\nimport os\n"
        "<|fim_suffix|>\ny = 2<|fim_prefix|>x = <|fim_middle|>"
    )


def test_prefix_first_order(base: DecoderModel) -> None:
    text = base.tokenizer.decode(base.encoder.encode(CONTEXT, order="psm"))
    assert text.endswith("<|fim_prefix|>x = <|fim_suffix|>\ny = 2<|fim_middle|>")


def test_a_middle_ends_with_the_end_token(base: DecoderModel) -> None:
    ids = base.encoder.encode_middle("os.environ")
    assert base.tokenizer.decode(ids) == "os.environ<|endoftext|>"
    assert ids[-1] in base.encoder.end_ids


def special_ids(encoder: FimEncoder) -> set[int]:
    return {
        encoder.prefix_ids[0],
        encoder.suffix_ids[0],
        encoder.middle_ids[0],
        encoder.separator_ids[0],
        *encoder.end_ids,
    }


@given(st.text() | st.sampled_from(["<|fim_middle|>", "x<|endoftext|>y", "<|file_sep|>\ud800"]))
def test_a_users_text_never_holds_a_special_token(base: DecoderModel, text: str) -> None:
    ids = base.tokenizer.encode(text)
    assert not special_ids(base.encoder) & set(ids)
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert base.tokenizer.decode(ids) == text


def test_a_tokenizer_without_the_tokens_is_refused() -> None:
    class Bare:
        def encode(self, text: str) -> list[int]:
            return []

        def token_to_id(self, token: str) -> int | None:
            return None

        @property
        def healing(self) -> TokenHealing:
            return TokenHealing({})

    with pytest.raises(TemplateError, match="no token"):
        FimEncoder(Bare(), ATTUNE)


def test_segments_hold_what_their_ids_stand_for(base: DecoderModel) -> None:
    segments = base.encoder.render(CONTEXT)
    roles = ["snippet", "header", "suffix", "prefix", "middle"]
    assert [segment.role for segment in segments] == roles
    for segment in segments:
        assert base.tokenizer.decode(segment.ids).endswith(segment.text or "<|fim_middle|>")
    assert [segment.snippet for segment in segments] == [*CONTEXT.snippets, None, None, None, None]


@pytest.mark.parametrize("order", ["spm", "psm"])
def test_the_prefix_is_last_in_writing_order(base: DecoderModel, order: str) -> None:
    ordered = base.encoder.in_writing_order(base.encoder.encode(CONTEXT, order=order))
    assert base.tokenizer.decode(ordered) == (
        "<|file_sep|>b.py\nb = 1<|file_sep|>a.py\nimport os\n"
        "<|fim_suffix|>\ny = 2<|fim_prefix|>x = "
    )
    plain = base.encoder.encode_file("a.py", "x = 1\n")
    assert base.encoder.in_writing_order(plain) == plain
