"""What is asked of the engine and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal


@dataclass(frozen=True)
class CompletionRequest:
    """A text as it was when the request came.

    `path` is relative to the workspace folder, `offset` counts code points; `explicit`: the user
    asked for the completion, and wants alternatives too; `without_prompt`: for comparison.
    `documents` holds the texts of all open documents of the folder by path, None where nothing new
    is known of them. `uri` is the document's.
    """

    text: str
    path: str
    offset: int
    explicit: bool = False
    without_prompt: bool = False
    documents: Mapping[str, str] | None = field(default=None, compare=False)
    uri: str = ""


@dataclass(frozen=True)
class CompletionResult:
    """The text to insert at the cursor; when it is empty, `reason` is a short code that says why.

    `number` tells answers of one server apart: what the editor knows of an answer's fate it says
    to `EngineThread.accepted` and `EngineThread.rejected` under this number. `source`: computed for
    this request, known before, or the end of a decode that an earlier request began. `prefilled`
    counts the tokens that the model computed before the first new one, None if it was not asked.
    `prompt` is that of the document, used or left out for comparison. `alternatives` are other
    texts, None if nobody wanted any. `ends`: the model has nothing to add behind the text.
    `withheld` is what the model said and a filter left nothing of.
    """

    text: str
    reason: str | None = None
    number: int = 0
    source: Literal["model", "cache", "adopted"] = "model"
    prefilled: int | None = None
    prompt: str | None = None
    alternatives: tuple[str, ...] | None = None
    ends: bool = False
    withheld: str = ""

    def stays_silent(self, typed: str) -> bool:
        """Whether an empty answer holds behind `typed` too: that only begins what was withheld."""
        return not typed or (self.withheld.startswith(typed) and self.withheld != typed)

    def after(self, typed: str) -> "CompletionResult":
        """What is left of it once the user has typed `typed`, which it begins with."""
        rest = self.alternatives and tuple(
            one[len(typed) :] for one in self.alternatives if one.startswith(typed) and one != typed
        )
        return replace(self, text=self.text[len(typed) :], alternatives=rest)
