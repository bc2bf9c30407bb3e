"""From a `Context` to token ids by a FIM template, for serving, tuning and pretraining alike.

Special tokens are inserted as ids, never as strings, and the user's text is encoded with special
tokens disabled, so a file that contains `<|fim_middle|>` stays plain text.

The ids never contain the beginning-of-sequence token: it belongs to the resident key/value prefix.
Without a soft prompt that prefix is this one token; a soft prompt replaces it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

from code_context.context import Context
from code_context.snippets import Snippet
from code_model.fim_templates import FimTemplate, TemplateError
from code_model.token_healing import TokenHealing

CACHED_TEXTS = 512  # texts whose ids are kept


class TextTokenizer(Protocol):
    """What a template needs of a tokenizer."""

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; special tokens are not recognised in it."""

    def token_to_id(self, token: str) -> int | None:
        """The id of a special token, None if the vocabulary lacks it."""

    @property
    def healing(self) -> TokenHealing:
        """Token healing over its vocabulary."""


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

    Reason for its size: the ids of the template's tokens, one attribute for each.
    """

    def __init__(self, tokenizer: TextTokenizer, template: FimTemplate) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.beginning_ids = self._ids_of(template.beginning)
        self.prefix_ids = self._ids_of(template.prefix)
        self.suffix_ids = self._ids_of(template.suffix)
        self.middle_ids = self._ids_of(template.middle)
        self.separator_ids = self._ids_of(template.file_separator)
        self.end_ids = tuple(id_ for token in template.end for id_ in self._ids_of(token))
        # from one keystroke to the next, nearly all texts of a context are the same
        self._ids = lru_cache(CACHED_TEXTS)(tokenizer.encode)

    def _ids_of(self, token: str | None) -> list[int]:
        """The id of a special token; none for None."""
        if token is None:
            return []
        token_id = self.tokenizer.token_to_id(token)
        if token_id is None:
            raise TemplateError(
                f"the tokenizer has no token {token}, which the {self.template.family} template "
                "needs"
            )
        return [token_id]

    def count(self, text: str) -> int:
        """Tokens of plain text."""
        return len(self._ids(text))

    def typed(self, prefix: str) -> str:
        """The end of the text before the cursor that the model writes again (token healing).

        It is no part of what `render` gives. Empty where the template does not heal.
        """
        return self._healed(prefix)[1]

    def render(
        self, context: Context, *, order: Literal["spm", "psm"] | None = None
    ) -> list[Segment]:
        """Everything before the middle, in the order of the input.

        Only pretraining overrides the template's `order`.
        """
        inside = self.template.in_prefix
        files = self._files(context)
        front = [self._file(file) for file in files if file.role not in inside]
        prefix = self._prefix(context.prefix, [file for file in files if file.role in inside])
        suffix = Segment("suffix", (*self.suffix_ids, *self._ids(context.suffix)), context.suffix)
        match order or self.template.order:
            case "spm":
                segments = [*front, suffix, *prefix]
            case "psm":
                segments = [*front, *prefix, suffix]
            case "ltr":
                segments = [*front, *prefix]
        middle = Segment("middle", tuple(self.middle_ids), "")
        return [*segments, middle] if self.middle_ids else segments

    def encode(self, context: Context, *, order: Literal["spm", "psm"] | None = None) -> list[int]:
        """The ids of `render`."""
        return [token for segment in self.render(context, order=order) for token in segment.ids]

    def in_writing_order(self, ids: Sequence[int]) -> list[int]:
        """Rendered ids with the prefix moved to the end and without the middle's token.

        So the ids before the cursor come last, as prompt lookup needs them. Ids without a prefix
        segment stay as they are.
        """
        ordered = list(ids)
        if not self.prefix_ids or self.prefix_ids[0] not in ordered:
            return ordered
        start = ordered.index(self.prefix_ids[0])
        ends = {*self.suffix_ids, *self.middle_ids}
        end = next((n for n in range(start, len(ordered)) if ordered[n] in ends), len(ordered))
        return ordered[:start] + ordered[end:-1] + ordered[start:end]

    def encode_file(self, path: str, text: str) -> list[int]:
        """Ids of a whole file, left to right, as the model reads it without a hole."""
        return list(self._file(_File("header", path, text)).ids)

    def encode_middle(self, middle: str, typed: str = "") -> list[int]:
        """Ids of the middle behind what `typed` gave, and the end token that closes it."""
        return [*self.tokenizer.encode(typed + middle), self.end_ids[0]]

    def _files(self, context: Context) -> list["_File"]:
        """What stands under a path: the snippets, and the open file's beginning last."""
        end = self.template.file_end
        files = [_File("snippet", one.path, one.text, end, one) for one in context.snippets]
        if self.template.suffix_file and (below := context.suffix.strip("\n")):
            files.append(_File("suffix", context.path, below, end))
        return [*files, _File("header", context.path, context.header)]

    def _file(self, file: "_File", *, opens_prefix: bool = False) -> Segment:
        """`opens_prefix`: the prefix's token stands before its text."""
        template = self.template
        before = template.prefix_text if opens_prefix else ""
        text = f"{before}{template.path_sign}{file.path}\n{file.text}{file.end}"
        opening = self.prefix_ids if opens_prefix else []
        ids = (*self.separator_ids, *opening, *self._ids(text))
        return Segment(file.role, ids, file.text, file.snippet)

    def _prefix(self, prefix: str, files: Sequence["_File"]) -> list[Segment]:
        """The prefix behind its token and the files that stand inside it."""
        ids, typed = self._healed(prefix)
        opening = [] if files else self.prefix_ids
        last = Segment("prefix", (*opening, *ids), prefix[: len(prefix) - len(typed)])
        return [*(self._file(file, opens_prefix=file is files[0]) for file in files), last]

    def _healed(self, prefix: str) -> tuple[Sequence[int], str]:
        """Ids of the prefix up to the border of a token, and the text behind it."""
        ids = self._ids(prefix)
        return self.tokenizer.healing.border(ids) if self.template.token_healing else (ids, "")


@dataclass(frozen=True)
class _File:
    """A text under its path; `end` follows it."""

    role: Role
    path: str
    text: str
    end: str = ""
    snippet: Snippet | None = None
