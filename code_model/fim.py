"""The FIM layout: from a `Context` to token ids, for serving, tuning and pretraining alike.

A layout is built from ids of special tokens, never from strings, and the user's text is encoded
with special tokens disabled, so that a file that contains `<|fim_middle|>` stays plain text.

The ids never contain the beginning-of-sequence token: it belongs to the resident key/value prefix.
Without a soft prompt that prefix is this one token; a soft prompt takes its place.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Literal, Protocol

from code_context.context import Context

KNOWN_PIECES = 512  # texts whose ids are kept


class LayoutError(ValueError):
    """The tokenizer lacks a special token that the layout names."""


class TextTokenizer(Protocol):
    """What the layout needs of a tokenizer."""

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; special tokens are not recognised in it."""

    def token_to_id(self, token: str) -> int | None:
        """The id of a special token, None if the vocabulary lacks it."""


@dataclass(frozen=True)
class FimLayout:
    """One family's infilling template.

    `order` is "spm" (suffix, prefix, middle) or "psm". Files of the context and the open file's
    header are introduced by `file_separator`, the path and a newline.
    """

    family: str
    order: Literal["spm", "psm"]
    beginning: str | None
    prefix: str
    suffix: str
    middle: str
    file_separator: str
    end: tuple[str, ...]

    def fingerprint(self) -> str:
        """SHA-256 of the descriptor; a soft prompt is bound to it."""
        described = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(described.encode()).hexdigest()


ATTUNE = FimLayout(
    family="attune",
    order="spm",
    beginning="<|endoftext|>",
    prefix="<|fim_prefix|>",
    suffix="<|fim_suffix|>",
    middle="<|fim_middle|>",
    file_separator="<|file_sep|>",
    end=("<|endoftext|>", "<|file_sep|>"),
)
# Qwen2.5-Coder's repository template (QwenLM/Qwen2.5-Coder, repo-level FIM example).
QWEN_CODER = FimLayout(
    family="qwen2.5-coder",
    order="psm",
    beginning=None,
    prefix="<|fim_prefix|>",
    suffix="<|fim_suffix|>",
    middle="<|fim_middle|>",
    file_separator="<|file_sep|>",
    end=(
        "<|endoftext|>",
        "<|im_end|>",
        "<|fim_prefix|>",
        "<|fim_suffix|>",
        "<|fim_middle|>",
        "<|fim_pad|>",
        "<|repo_name|>",
        "<|file_sep|>",
    ),
)
LAYOUTS: Mapping[str, FimLayout] = {layout.family: layout for layout in (ATTUNE, QWEN_CODER)}


class FimEncoder:
    """A layout bound to a tokenizer. Raises `LayoutError` if a special token is missing."""

    def __init__(self, tokenizer: TextTokenizer, layout: FimLayout) -> None:
        self.tokenizer = tokenizer
        self.layout = layout
        self.beginning_ids = [] if layout.beginning is None else [self._id(layout.beginning)]
        self.prefix_id = self._id(layout.prefix)
        self.suffix_id = self._id(layout.suffix)
        self.middle_id = self._id(layout.middle)
        self.separator_id = self._id(layout.file_separator)
        self.end_ids = tuple(self._id(token) for token in layout.end)
        # from one keystroke to the next nearly every piece of a context is the same
        self._ids = lru_cache(KNOWN_PIECES)(tokenizer.encode)

    def _id(self, token: str) -> int:
        found = self.tokenizer.token_to_id(token)
        if found is None:
            raise LayoutError(
                f"the tokenizer has no token {token}, which the {self.layout.family} layout needs"
            )
        return found

    def count(self, text: str) -> int:
        """Tokens of plain text."""
        return len(self._ids(text))

    def _file(self, path: str, text: str) -> list[int]:
        return [self.separator_id, *self._ids(f"{path}\n{text}")]

    def encode(self, context: Context, *, order: Literal["spm", "psm"] | None = None) -> list[int]:
        """Ids of everything before the middle; only pretraining overrides the layout's order."""
        ids: list[int] = []
        for snippet in context.snippets:
            ids += self._file(snippet.path, snippet.text)
        ids += self._file(context.path, context.header)
        prefix = [self.prefix_id, *self._ids(context.prefix)]
        suffix = [self.suffix_id, *self._ids(context.suffix)]
        ids += suffix + prefix if (order or self.layout.order) == "spm" else prefix + suffix
        return [*ids, self.middle_id]

    def encode_file(self, path: str, text: str) -> list[int]:
        """Ids of a whole file, left to right, as the model reads it without a hole."""
        return self._file(path, text)

    def encode_middle(self, middle: str) -> list[int]:
        """Ids of the middle and the end token that closes it."""
        return [*self.tokenizer.encode(middle), self.end_ids[0]]
