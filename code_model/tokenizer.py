"""A Hugging Face `tokenizer.json`, used so that a user's text never becomes a special token."""

from collections.abc import Sequence
from pathlib import Path

import tokenizers


class Tokenizer:
    """Text to ids and back. Special tokens written out in a text stay plain text."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        self._tokenizer.encode_special_tokens = True

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
