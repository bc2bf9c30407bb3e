"""FIM templates: from a `Context` to token ids, for serving, tuning and pretraining alike.

A new model family is one more `FimTemplate` in `TEMPLATES`. Special tokens are inserted as ids,
never as strings, and the user's text is encoded with special tokens disabled, so a file that
contains `<|fim_middle|>` stays plain text.

The ids never contain the beginning-of-sequence token: it belongs to the resident key/value prefix.
Without a soft prompt that prefix is this one token; a soft prompt replaces it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Literal, Protocol

from code_context.context import Context
from code_context.snippets import Snippet

CACHED_TEXTS = 512  # texts whose ids are kept


class TemplateError(ValueError):
    """The tokenizer lacks a special token of the template."""


class TextTokenizer(Protocol):
    """What a template needs of a tokenizer."""

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; special tokens are not recognised in it."""

    def token_to_id(self, token: str) -> int | None:
        """The id of a special token, None if the vocabulary lacks it."""


@dataclass(frozen=True)
class FimTemplate:
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
        """SHA-256 of the fields as JSON; a soft prompt is bound to it."""
        fields = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(fields.encode()).hexdigest()


ATTUNE = FimTemplate(
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
QWEN_CODER = FimTemplate(
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
TEMPLATES: Mapping[str, FimTemplate] = {
    template.family: template for template in (ATTUNE, QWEN_CODER)
}


Role = Literal["snippet", "header", "suffix", "prefix", "middle"]


@dataclass(frozen=True)
class Segment:
    """Consecutive ids of the input with the text that they stand for.

    `snippet` is the snippet of another file, None for segments of the open file. The segment
    "middle" is the token after which the model writes.
    """

    role: Role
    ids: tuple[int, ...]
    text: str
    snippet: Snippet | None = None


class FimEncoder:
    """A template bound to a tokenizer; the one owner of the order of the input.

    Raises `TemplateError` if the tokenizer lacks one of the template's special tokens.
    """

    def __init__(self, tokenizer: TextTokenizer, template: FimTemplate) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.beginning_ids = [] if template.beginning is None else [self._id(template.beginning)]
        self.prefix_id = self._id(template.prefix)
        self.suffix_id = self._id(template.suffix)
        self.middle_id = self._id(template.middle)
        self.separator_id = self._id(template.file_separator)
        self.end_ids = tuple(self._id(token) for token in template.end)
        # from one keystroke to the next, nearly all texts of a context are the same
        self._ids = lru_cache(CACHED_TEXTS)(tokenizer.encode)

    def _id(self, token: str) -> int:
        token_id = self.tokenizer.token_to_id(token)
        if token_id is None:
            raise TemplateError(
                f"the tokenizer has no token {token}, which the {self.template.family} template "
                "needs"
            )
        return token_id

    def count(self, text: str) -> int:
        """Tokens of plain text."""
        return len(self._ids(text))

    def render(
        self, context: Context, *, order: Literal["spm", "psm"] | None = None
    ) -> list[Segment]:
        """Everything before the middle, in the order of the input.

        Only pretraining overrides the template's `order`.
        """
        segments = [
            Segment("snippet", self._file(snippet.path, snippet.text), snippet.text, snippet)
            for snippet in context.snippets
        ]
        segments.append(Segment("header", self._file(context.path, context.header), context.header))
        prefix = Segment("prefix", (self.prefix_id, *self._ids(context.prefix)), context.prefix)
        suffix = Segment("suffix", (self.suffix_id, *self._ids(context.suffix)), context.suffix)
        suffix_first = (order or self.template.order) == "spm"
        segments += (suffix, prefix) if suffix_first else (prefix, suffix)
        return [*segments, Segment("middle", (self.middle_id,), "")]

    def encode(self, context: Context, *, order: Literal["spm", "psm"] | None = None) -> list[int]:
        """The ids of `render`."""
        return [token for segment in self.render(context, order=order) for token in segment.ids]

    def in_writing_order(self, ids: Sequence[int]) -> list[int]:
        """Rendered ids with the prefix moved to the end and without the middle's token.

        So the ids before the cursor come last, as prompt lookup needs them. Ids without a prefix
        segment stay as they are.
        """
        ordered = list(ids)
        if self.prefix_id not in ordered:
            return ordered
        start = ordered.index(self.prefix_id)
        ends = (self.suffix_id, self.middle_id)
        end = next((n for n in range(start, len(ordered)) if ordered[n] in ends), len(ordered))
        return ordered[:start] + ordered[end:-1] + ordered[start:end]

    def encode_file(self, path: str, text: str) -> list[int]:
        """Ids of a whole file, left to right, as the model reads it without a hole."""
        return list(self._file(path, text))

    def encode_middle(self, middle: str) -> list[int]:
        """Ids of the middle and the end token that closes it."""
        return [*self.tokenizer.encode(middle), self.end_ids[0]]

    def _file(self, path: str, text: str) -> tuple[int, ...]:
        return (self.separator_id, *self._ids(f"{path}\n{text}"))
