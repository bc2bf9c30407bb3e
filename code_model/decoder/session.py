"""Greedy decoding behind a resident prefix, reusing the KV of everything unchanged."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from code_model.cancel import Cancel, StepCancelledError
from code_model.compatibility import context_of, show_threshold_of
from code_model.decoder import loss
from code_model.decoder.kv_cache import KVCache
from code_model.decoder.prompt_lookup import Lookup
from code_model.decoder.soft_prompt import prefix_kv
from code_model.language_model import (
    ContextTooLongError,
    FinishReason,
    Generation,
    ScoredSequence,
)
from prompts.file import PromptFile

if TYPE_CHECKING:
    from code_model.decoder.model import DecoderModel

PREFILL_CHUNK = 128  # tokens between two looks at the cancel flag
PARK_TOKENS = 64  # a sequence that would lose fewer tokens than this is not worth a copy
PARKED_BYTES = 32 << 20  # of the sequences of other documents


@dataclass(frozen=True, eq=False)
class _Parked:
    """Keys and values (L, G, T, D) behind the prefix of a document that is not being completed."""

    ids: list[int]
    keys: Tensor
    values: Tensor

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes


class DecoderSession:
    """A `Session` of the decoder. Not thread-safe: one thread owns it.

    The prefix is resident at the beginning of the cache, and rewinding never touches it. Behind it
    stand the tokens of one document. Those of others are parked within `PARKED_BYTES`, least
    recently used first to go, and come back when a request begins like them.
    """

    def __init__(self, model: "DecoderModel", prompt: PromptFile | None = None) -> None:
        self.model = model
        self.prompt = prompt
        self.speculate = True
        prefix = prefix_kv(model, prompt)
        manifest = None if prompt is None else prompt.manifest
        self.context = context_of(manifest)
        self.show_threshold = show_threshold_of(manifest)
        self.num_virtual_tokens = prefix.tokens
        self._cache = KVCache(model.llama.config, model.max_positions)
        self._cache.load_prefix(prefix)
        self._cached_ids: list[int] = []
        self._parked: deque[_Parked] = deque()
        self._last: list[int] = []

    def room(self, max_new_tokens: int) -> int:
        """Context tokens that fit beside the prefix and the new tokens."""
        return self._cache.capacity - self.num_virtual_tokens - max_new_tokens

    def generate(
        self,
        ids: Sequence[int],
        *,
        max_new_tokens: int,
        stop: Callable[[str], bool] = lambda text: False,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Generation:
        """The most likely continuation of `ids`, token by token.

        Ends at an end token of the layout, when `stop` accepts the text so far, after
        `max_new_tokens`, or when `cancelled` says so, which is asked before every forward pass;
        a `Cancel` ends one at its next layer.
        `stop` sees the text grow by one token at a time, drafts or not.

        Raises `ContextTooLongError` if it cannot fit, `ValueError` without ids.
        """
        reused = self._reuse(ids, max_new_tokens)
        prefilled = self._prefill(ids, cancelled)
        if prefilled < len(ids) - 1:
            return Generation((), "", (), "cancelled", prefilled - reused)
        lookup = Lookup([*self._last, *self.model.encoder.in_writing_order(ids)])
        new: list[int] = []
        logprobs: list[float] = []
        text, steps = "", 0
        reason: FinishReason | None = None if max_new_tokens > 0 else "length"
        pending = [ids[-1]]
        while reason is None:
            if cancelled():
                reason = "cancelled"
                break
            left = max_new_tokens - len(new) - 1
            draft = lookup.draft(left) if self.speculate and left else []
            try:
                chosen, scores = self._step(pending, draft, cancelled)
            except StepCancelledError:
                reason = "cancelled"
                break
            steps += 1
            for token, score in zip(chosen, scores, strict=True):
                if token in self.model.encoder.end_ids:
                    reason = "end"
                    break
                new.append(token)
                logprobs.append(score)
                text = self.model.tokenizer.decode(new)
                if stop(text):
                    reason = "stop"
                    break
            if reason is None and len(new) == max_new_tokens:
                reason = "length"
            lookup.add(chosen)
            pending = chosen[-1:]
        if reason != "cancelled":
            self._last = [*ids[-3:-1], *new]
        return Generation(tuple(new), text, tuple(logprobs), reason, len(ids) - reused, steps)

    def prefill(self, ids: Sequence[int], cancelled: Callable[[], bool] = lambda: False) -> None:
        """See `Session`."""
        self._reuse(ids, 0)
        self._prefill(ids, cancelled)

    def score(
        self,
        sequences: Sequence[ScoredSequence],
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[list[float]]:
        """See `Session`; in float32, beside the cache."""
        return loss.nats(self.model.llama, prefix_kv(self.model, self.prompt), sequences, cancelled)

    def _prefill(self, ids: Sequence[int], cancelled: Callable[[], bool]) -> int:
        """Compute all but the last id; the number of ids that are cached then."""
        while (start := len(self._cached_ids)) < len(ids) - 1:
            if cancelled():
                break
            chunk = list(ids[start : min(start + PREFILL_CHUNK, len(ids) - 1)])
            try:
                self.model.forward.step(chunk, self._cache, scored=0, cancel=_flag(cancelled))
            except StepCancelledError:
                break
            self._cached_ids += chunk
        return len(self._cached_ids)

    def _step(
        self, pending: list[int], draft: list[int], cancelled: Callable[[], bool]
    ) -> tuple[list[int], list[float]]:
        """The ids that follow `pending`: as many as the draft foretold, and one more."""
        chosen, logprobs = self.model.forward.step(
            pending + draft, self._cache, scored=len(draft) + 1, cancel=_flag(cancelled)
        )
        right = _common(draft, chosen)
        self._cached_ids += pending + draft[:right]
        self._cache.rewind(self.num_virtual_tokens + len(self._cached_ids))
        return chosen[: right + 1], logprobs[: right + 1]

    def _reuse(self, ids: Sequence[int], max_new_tokens: int) -> int:
        """Rewind to the longest beginning that `ids` share with this or a parked document.

        The last id is always computed again, because what follows it is not kept.
        """
        if not ids:
            raise ValueError("there must be at least one id to continue")
        if len(ids) > self.room(max_new_tokens):
            raise ContextTooLongError(
                f"{len(ids)} tokens do not fit beside {self.num_virtual_tokens} of the prefix and "
                f"{max_new_tokens} new ones; give a smaller context"
            )
        wanted = list(ids[:-1])
        common = _common(self._cached_ids, wanted)
        best = max(self._parked, key=lambda one: _common(one.ids, wanted), default=None)
        if best is not None and _common(best.ids, wanted) >= common + PARK_TOKENS:
            self._park()
            self._unpark(best)
            common = _common(best.ids, wanted)
        elif len(self._cached_ids) - common >= PARK_TOKENS:
            self._park()
        self._cache.rewind(self.num_virtual_tokens + common)
        del self._cached_ids[common:]
        return common

    def _park(self) -> None:
        """Keep a copy of the document's keys and values."""
        if len(self._cached_ids) < PARK_TOKENS:
            return
        own = slice(self.num_virtual_tokens, self._cache.length)
        self._parked.append(
            _Parked(
                list(self._cached_ids),
                self._cache.keys[:, :, own].clone(),
                self._cache.values[:, :, own].clone(),
            )
        )
        while sum(one.nbytes for one in self._parked) > PARKED_BYTES:
            self._parked.popleft()

    def _unpark(self, parked: _Parked) -> None:
        if parked in self._parked:  # parking the other may have pushed it out
            self._parked.remove(parked)
        end = self.num_virtual_tokens + len(parked.ids)
        self._cache.keys[:, :, self.num_virtual_tokens : end] = parked.keys
        self._cache.values[:, :, self.num_virtual_tokens : end] = parked.values
        self._cache.length = end
        self._cached_ids = list(parked.ids)


def _flag(cancelled: Callable[[], bool]) -> Cancel | None:
    return cancelled if isinstance(cancelled, Cancel) else None


def _common(one: list[int], other: list[int]) -> int:
    """Length of the common beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))
