"""A Hugging Face `tokenizer.json`, used so that a user's text never becomes a special token."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, normalizers, pre_tokenizers

from code_model.token_healing import TokenHealing

LATIN_1 = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
"""Bytes that byte-level BPE writes as the character of the same number."""
BYTE_OF_CHARACTER = {
    **{byte: byte for byte in LATIN_1},
    **{0x100 + n: byte for n, byte in enumerate(sorted(set(range(0x100)) - set(LATIN_1)))},
}
"""Of byte-level BPE (openai/gpt-2, `bytes_to_unicode`): the byte that a character stands for."""
BYTE = re.compile("<0x[0-9A-F]{2}>")
"""A token of SentencePiece for one byte of a character that has no token."""


class Tokenizer:
    """Text to ids and back. Special tokens written out in a text stay plain text.

    Every added token that is not white space counts as special, also where the file does not mark
    it: Qwen, DeepSeek and Granite leave their infilling tokens unmarked. No space is put in front
    of a text, as SentencePiece does: a piece of the input continues the one before it.
    """

    def __init__(self, path: Path) -> None:
        self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        added = self._tokenizer.get_added_tokens_decoder().values()
        self._tokenizer.add_special_tokens(
            [
                AddedToken(token.content, special=True, normalized=False)
                for token in added
                if not token.special and token.content.strip()
            ]
        )
        self._tokenizer.encode_special_tokens = True
        _join_pieces(self._tokenizer)

    def encode(self, text: str) -> list[int]:
        """Ids of plain text. A lone surrogate, which UTF-8 cannot hold, becomes U+FFFD."""
        if not text.isascii():
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; a character that is cut off at the end shows as U+FFFD."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return text

    def token_to_id(self, token: str) -> int | None:
        """The id of a special token, None if the vocabulary lacks it."""
        id_: int | None = self._tokenizer.token_to_id(token)
        return id_

    @cached_property
    def healing(self) -> TokenHealing:
        """Token healing over `vocabulary`, made when it is first needed."""
        return TokenHealing(self.vocabulary())

    def vocabulary(self) -> Mapping[int, bytes]:
        """The bytes that each token stands for, by id; without special tokens.

        SentencePiece's tokens for single bytes are left out where another token is that character:
        encoding never gives them.
        """
        decoder = self._tokenizer.decoder
        byte_level = decoder is not None and b'"ByteLevel"' in decoder.__getstate__()
        added = self._tokenizer.get_added_tokens_decoder()
        tokens = self._tokenizer.get_vocab(with_added_tokens=False)
        text_of = _byte_level_text if byte_level else _sentencepiece_text
        texts = {
            id_: text_of(token)
            for token, id_ in tokens.items()
            if id_ not in added
            and not (
                token.startswith("<0x") and BYTE.fullmatch(token) and _character(token) in tokens
            )
        }
        plain = {id_: token.content.encode() for id_, token in added.items() if not token.special}
        return texts | plain


def _byte_level_text(token: str) -> bytes:
    ascii_ = token.replace("Ġ", " ").replace("Ċ", "\n")
    if ascii_.isascii():  # most tokens: a first request waits for the whole vocabulary
        return ascii_.encode()
    try:
        return token.translate(BYTE_OF_CHARACTER).encode("latin-1")
    except UnicodeEncodeError:  # not written in the bytes' alphabet
        return token.encode()


def _sentencepiece_text(token: str) -> bytes:
    if BYTE.fullmatch(token):
        return bytes([int(token[3:5], 16)])
    return token.replace("▁", " ").encode()


def _character(byte: str) -> str:
    """The token that a character of one byte has; empty for a part of one."""
    character = _sentencepiece_text(byte).decode("ascii", "ignore")
    return "▁" if character == " " else character


def _join_pieces(tokenizer: tokenizers.Tokenizer) -> None:
    """Let encoding put no space in front of a text, and decoding remove none."""
    if tokenizer.normalizer is not None:
        tokenizer.normalizer = _changed(tokenizer.normalizer, normalizers.Sequence([]))
    if tokenizer.pre_tokenizer is not None:
        tokenizer.pre_tokenizer = _changed(tokenizer.pre_tokenizer, pre_tokenizers.Sequence([]))
    if tokenizer.decoder is not None:
        tokenizer.decoder = _changed(tokenizer.decoder, decoders.Sequence([]))


def _changed(component: Any, empty: Any) -> Any:
    """The component as `_without_space` has it; `empty`, of the same kind, takes its state."""
    before = json.loads(component.__getstate__())
    after = _without_space(before)
    if after == before:
        return component
    if after is not None:
        empty.__setstate__(json.dumps(after).encode())
    return empty


def _without_space(state: dict[str, Any]) -> dict[str, Any] | None:
    """A component's JSON without its step that adds or removes a leading space; None: no step."""
    if state["type"] == "Prepend" or (state["type"] == "Strip" and state.get("content") == " "):
        return None
    if state["type"] == "Metaspace":
        return state | {"prepend_scheme": "never"}
    if state["type"] == "ByteLevel" and state["add_prefix_space"]:
        return state | {"add_prefix_space": False}
    if state["type"] == "Sequence":
        (steps,) = (name for name in state if name != "type")
        kept = map(_without_space, state[steps])
        return state | {steps: [step for step in kept if step is not None]}
    return state
