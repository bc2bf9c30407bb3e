"""A completion request and its result."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from completion.edit_range import replaced_length
from completion.reasons import Reason

if TYPE_CHECKING:  # the event loop imports this module, but neither torch nor tree-sitter
    from code_context.completion_kind import CompletionKind
    from code_model.language_model import Generation

Source = Literal["model", "cache", "adopted"]


@dataclass(frozen=True)
class CompletionRequest:
    """A document and a cursor as they were when the request arrived.

    `path` is relative to the document's repository, whose folder is `root`; None if it is in none.
    `offset` counts code points. `explicit`: the user invoked it, and wants alternatives.
    `without_prompt`: serve with the bare model, for an A/B comparison. `documents`: texts of the
    repository's open documents by path; None if unchanged. `uri` identifies the document.
    `language_id` is the editor's, which decides where the path does not.
    """

    text: str
    path: str
    offset: int
    explicit: bool = False
    without_prompt: bool = False
    documents: Mapping[str, str] | None = field(default=None, compare=False)
    uri: str = ""
    language_id: str = ""
    root: Path | None = None

    @property
    def document(self) -> str:
        """Identifies the document: two folders may have files of the same path."""
        return self.uri or self.path

    @property
    def is_file(self) -> bool:
        """See `is_file`; without a URI, the path names a file."""
        return not self.uri or is_file(self.uri)

    def after_accepting(self, completion: str) -> "CompletionRequest":
        """The automatic request that an editor sends once `completion` is inserted."""
        right = self.text[self.offset : line_end(self.text, self.offset)]
        after = self.text[self.offset + replaced_length(completion, right) :]
        before = self.text[: self.offset] + completion
        return replace(self, text=before + after, offset=len(before), explicit=False)


@dataclass(frozen=True)
class CompletionResult:
    """The text to insert at the cursor. If it is empty, `reason` says why.

    `kind` is None if the syntax was not examined, `generation` None if the model was not run.
    `ends`: nothing follows the text in its syntax unit. `withheld`: text that a filter removed.
    `alternatives`: further texts for an explicit request, None if none were requested.
    `prompt`: the document's prompt, used or left out for comparison.
    `source`: computed for this request, cached, or taken over from an earlier request's decode.
    `number` identifies the result when acceptance or rejection is reported.

    Reason for its size: the one record of a completion, for serving, tuning and explaining.
    """

    text: str
    reason: Reason | None = None
    kind: "CompletionKind | None" = None
    generation: "Generation | None" = None
    ends: bool = False
    withheld: str = ""
    alternatives: tuple[str, ...] | None = None
    prompt: str | None = None
    source: Source = "model"
    number: int = 0

    @property
    def prefilled(self) -> int | None:
        """Tokens computed for this request before the first new one; None if none were needed."""
        if self.generation is None or self.source != "model":
            return None
        return self.generation.prefilled

    def stays_empty(self, typed: str) -> bool:
        """Whether an empty result also holds after `typed`: only the withheld text was typed."""
        return not typed or (self.withheld.startswith(typed) and self.withheld != typed)

    def after(self, typed: str) -> "CompletionResult":
        """The rest of this result once the user has typed `typed`, a beginning of its text."""
        alternatives = self.alternatives and tuple(
            text[len(typed) :]
            for text in self.alternatives
            if text.startswith(typed) and text != typed
        )
        return replace(self, text=self.text[len(typed) :], alternatives=alternatives)


def is_file(uri: str) -> bool:
    """Whether a document is a file as it is now, not a draft or an old revision of one."""
    return uri.lower().startswith("file:")


def line_end(text: str, offset: int) -> int:
    """Offset of the next line break, or the length of the text."""
    ends = [end for mark in "\r\n" if (end := text.find(mark, offset)) >= 0]
    return min(ends, default=len(text))
