"""The real language server with a script in place of the model, so that tests know the results.

The environment variable SCRIPT names the script, a JSON list of lists: the text left of the cursor
on its line, without indentation, then the texts that complete it, best first. PROMPT, if it is set,
identifies the prompt that the status reports: its name, an @ and a hash.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from completion.completion_model import CompletionModel, Computation
from completion.request import CompletionRequest, CompletionResult
from completion.status import Status, StatusListener
from lsp_server import server
from lsp_server.settings import Settings

PROMPT = os.environ.get("PROMPT")


class Script(CompletionModel):
    """Completes lines by the script."""

    def __init__(self, entries: list[list[str]]) -> None:
        self._entries = entries

    def complete(self, request: CompletionRequest, computation: Computation) -> CompletionResult:
        """The rest of the first entry that the line agrees with, however much of it is typed."""
        before = request.text[: request.offset]
        left = before[max(before.rfind("\n"), before.rfind("\r")) + 1 :].lstrip()
        for start, *texts in self._entries:
            lines = [start + text for text in texts]
            rest = [line[len(left) :] for line in lines if line.startswith(left)]
            if left.startswith(start) and rest and rest[0]:
                others = tuple(rest[1:]) if request.explicit else None
                return CompletionResult(rest[0], prompt=PROMPT, alternatives=others)
        return CompletionResult("", "nothing_to_add")

    def warm(self, request: CompletionRequest, computation: Computation) -> None:
        """Nothing to prefill."""

    def check_fit(self, request: CompletionRequest, computation: Computation) -> None:
        """There is no prompt."""

    def version(self, request: CompletionRequest) -> int:
        """The script does not change."""
        return 0


def open_model(settings: Settings, roots: Sequence[Path], report: StatusListener) -> Script:
    """Ready at once."""
    report(Status("Normal", False, "Ready with a script.", PROMPT))
    return Script(json.loads(Path(os.environ["SCRIPT"]).read_text(encoding="utf-8")))


server._open_model = open_model
server.serve()
