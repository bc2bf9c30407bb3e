"""What the sessions of all engines share: a cached input is continued greedily."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

from code_model.greedy import GreedyEnd, StepResult, WantedStep, greedy_steps, run_steps
from code_model.language_model import Generation, LanguageModel
from code_model.prompt_lookup import PromptLookup

ModelT = TypeVar("ModelT", bound=LanguageModel)


class GreedySession(ABC, Generic[ModelT]):
    """`generate` and `prefill` of a `Session`, by what an engine's session does with its cache.

    `speculate`: whether prompt lookup drafts ids.
    """

    model: ModelT
    speculate: bool = True
    _last_suggestion: Sequence[int] = ()

    def generate(
        self,
        ids: Sequence[int],
        *,
        max_new_tokens: int,
        threshold: float = -math.inf,
        stop: Callable[[str], bool] = lambda text: False,
        cancelled: Callable[[], bool] = lambda: False,
        must_spell: str = "",
    ) -> Generation:
        """See `Session`. `cancelled` is called before every forward pass; where the engine can, a
        `Cancel` also ends a pass. `stop` sees the text grow by one token at a time, with drafts
        too."""
        end = GreedyEnd(self.model.encoder.end_ids, max_new_tokens, threshold, stop, cancelled)

        def step(
            pending: Sequence[int], draft: Sequence[int], allowed: Collection[int] | None
        ) -> StepResult:
            return self._step(pending, draft, allowed, cancelled)

        return run_steps(self.generation(ids, end, must_spell), step)

    def generation(
        self, ids: Sequence[int], end: GreedyEnd, must_spell: str
    ) -> Generator[WantedStep, StepResult, Generation]:
        """`generate`, but for its steps, which whoever runs this computes (`greedy.run_steps`)."""
        reused = self._reuse(ids, end.max_new_tokens)
        encoder, cancelled = self.model.encoder, end.cancelled
        with self._computing():
            prefilled = self._prefill(ids, cancelled)
            if prefilled < len(ids) - 1:
                return Generation((), "", (), "cancelled", prefilled - reused)
            ordered = encoder.in_writing_order(ids)
            lookup = PromptLookup([*self._last_suggestion, *ordered]) if self.speculate else None
            decoded = yield from greedy_steps(
                ids[-1], self.model.tokenizer, end, lookup=lookup, must_spell=must_spell
            )
        reason = decoded.finish_reason or "length"
        if reason != "cancelled":
            self._last_suggestion = [*ordered[-2:], *decoded.ids]
        return Generation(
            tuple(decoded.ids),
            decoded.text,
            tuple(decoded.logprobs),
            reason,
            len(ids) - reused,
            decoded.steps,
        )

    def prefill(self, ids: Sequence[int], cancelled: Callable[[], bool] = lambda: False) -> None:
        """See `Session`."""
        self._reuse(ids, 0)
        with self._computing():
            self._prefill(ids, cancelled)

    def _computing(self) -> AbstractContextManager[None]:
        """Entered around all forward passes of a request."""
        return nullcontext()

    @abstractmethod
    def _reuse(self, ids: Sequence[int], max_new_tokens: int) -> int:
        """Cut the cache to the longest beginning that it shares with `ids`; its length.

        The last id is always computed again, because its logits are not cached. Raises
        `ContextTooLongError` and `ValueError` as `Session.generate`.
        """

    @abstractmethod
    def _prefill(self, ids: Sequence[int], cancelled: Callable[[], bool]) -> int:
        """Compute all but the last id; the number of ids that are cached then."""

    @abstractmethod
    def _step(
        self,
        pending: Sequence[int],
        draft: Sequence[int],
        allowed: Collection[int] | None,
        cancelled: Callable[[], bool],
    ) -> StepResult:
        """See `code_model.greedy.Step`."""
