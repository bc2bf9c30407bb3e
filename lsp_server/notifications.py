"""What the server sends to the client unasked: status, reasons for empty answers, verdicts."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from completion.reasons import REASONS, Reason
from completion.status import Status
from lsp_server.protocol import (
    DID_CHANGE_EMPTY_REASON,
    DID_CHANGE_STATUS,
    DID_FIND_NO_GAIN,
    EmptyReason,
    NoGain,
)


class Notifications:
    """Sends notifications by `notify(method, params)`, and none twice in a row.

    `prompt` is the prompt in use, as the latest status names it.
    """

    def __init__(self, notify: Callable[[str, Any], None]) -> None:
        self.prompt: str | None = None
        self.settings_problem: str | None = None
        self._notify = notify
        self._reason: Reason | None = None
        self._without_gain: set[str] = set()

    def status(self, status: Status) -> None:
        """Send a status. A problem with the settings stays visible in it as a warning."""
        self.prompt = status.prompt
        if self.settings_problem is not None and status.kind == "Normal" and not status.busy:
            message = f"{self.settings_problem} {status.message}"
            status = replace(status, kind="Warning", message=message)
        self._notify(DID_CHANGE_STATUS, status)

    def empty_reason(self, reason: Reason | None) -> None:
        """Send why the answer was empty, None if it was not, when that has changed."""
        if reason != self._reason:
            self._reason = reason
            message = None if reason is None else REASONS[reason]
            self._notify(DID_CHANGE_EMPTY_REASON, EmptyReason(reason, message))

    def no_gain(self, prompt: str) -> None:
        """Send that the A/B test found no gain from a prompt, once."""
        if prompt not in self._without_gain:
            self._without_gain.add(prompt)
            self._notify(DID_FIND_NO_GAIN, NoGain(prompt))
