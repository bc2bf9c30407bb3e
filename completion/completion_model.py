"""The interface between the scheduler and a model that completes."""

from abc import abstractmethod
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Protocol

from code_model.cancel import Cancel
from completion.request import CompletionRequest, CompletionResult


class Computation:
    """Shared by the event loop and the worker thread: whether to stop, and the text so far."""

    def __init__(self, timeout_s: float | None = None) -> None:
        self.timeout_s = timeout_s
        """Seconds after which nobody waits any more; None: as long as it takes."""
        self.timed_out = False
        self.on_limit: Callable[[float], object] = lambda timeout_s: None
        """Called on the worker thread with a time that is known only there."""
        self.cancelled = Cancel()
        """Whether to stop; tested before every layer of the model."""
        self._text = ""
        self._typed = ""

    def cancel(self) -> None:
        """Stop at the next layer."""
        self.cancelled.set()

    def limit(self, timeout_s: float) -> None:
        """Give it so much time from now on: when its request came, none could be told."""
        self.timeout_s = timeout_s
        self.on_limit(timeout_s)

    def time_out(self) -> None:
        """Its time is over: stop. If it was cancelled before, nobody waits for it."""
        if not self.cancelled():
            self.timed_out = True
            self.cancel()

    def update(self, text: str) -> None:
        """Set the text generated so far; text that contradicts the typed text is not finished."""
        self._text = text
        if not self.agrees_with(self._typed):
            self.cancel()

    def expect(self, typed: str) -> None:
        """Stop as soon as the text turns out not to begin with `typed`."""
        self._typed = typed

    def agrees_with(self, typed: str) -> bool:
        """Whether one of the text so far and `typed` is a beginning of the other."""
        return self._text.startswith(typed) or typed.startswith(self._text)


class CompletionModel(Protocol):
    """Computes completions. All methods but `version` are called on the worker thread.

    A class that names this protocol as its base cannot be instantiated if a method is missing.
    """

    @abstractmethod
    def complete(self, request: CompletionRequest, computation: Computation) -> CompletionResult:
        """Complete one request; cancelled computations end soon, with the reason "cancelled"."""

    @abstractmethod
    def warm(self, request: CompletionRequest, computation: Computation) -> None:
        """Prefill the KV cache with the context of a request at this cursor or near it."""

    @abstractmethod
    def check_fit(self, request: CompletionRequest, computation: Computation) -> None:
        """Check whether the document's prompt fits its text, unless there is a result already."""

    @property
    def looks_ahead(self) -> bool:
        """Whether to compute, while idle, what nobody has asked for yet; any thread may ask."""
        return True

    def timeout_s(self, request: CompletionRequest) -> float | None:
        """The longest that this request may wait, in seconds; None: as long as it takes.

        Called on the event loop, which answers then, whatever the worker thread is doing. A model
        that was not loaded then may limit the computation when it begins.
        """
        return None

    @abstractmethod
    def version(self, request: CompletionRequest) -> Hashable:
        """Changes whenever this request may get another result. Must be cheap."""


class RepositoryModel(CompletionModel, Protocol):
    """A model that follows the prompt files of repositories. Any thread may call these methods."""

    @abstractmethod
    def refresh(self) -> None:
        """Read changed prompt files before a request needs them."""

    @abstractmethod
    def add_root(self, root: Path) -> None:
        """Follow the prompts of one more repository, before a request for it arrives."""

    @abstractmethod
    def folders(self) -> set[Path]:
        """The folders in which a changed file may change the choice of a prompt."""
