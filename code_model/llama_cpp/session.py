"""Greedy decoding by llama.cpp behind a resident prefix, reusing the KV of everything unchanged."""

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from code_model.cancel import StepCancelledError, cancel_flag
from code_model.compatibility import check_prompt, context_of, show_thresholds_of
from code_model.greedy_session import GreedySession
from code_model.kv_reuse import check_input, common_length
from code_model.language_model import ScoredSequence
from code_model.llama_cpp.context import BATCH, SCRATCH
from prompts.file import PromptFile

if TYPE_CHECKING:
    from code_model.llama_cpp.model import LlamaCppModel


class LlamaCppSession(GreedySession["LlamaCppModel"]):
    """A `Session` of llama.cpp. Not thread-safe: one thread owns it.

    The prefix is computed or written once, at the beginning of the cache; behind it is one
    document. Sequences are scored beside it, behind the same prefix.
    """

    def __init__(self, model: "LlamaCppModel", prompt: PromptFile | None = None) -> None:
        self.model = model
        self.prompt = prompt
        manifest = None if prompt is None else prompt.manifest
        if prompt is not None:
            check_prompt(model, prompt)
        self.context = context_of(manifest)
        self.show_thresholds = show_thresholds_of(manifest, model.show_thresholds)
        self._cache = model.new_context()
        self.num_virtual_tokens = self._load_prefix(prompt)
        self._cached_ids: list[int] = []

    def room(self, max_new_tokens: int) -> int:
        """Context tokens that fit beside the prefix and the new tokens."""
        return self.model.max_positions - self.num_virtual_tokens - max_new_tokens

    def score(
        self,
        sequences: Sequence[ScoredSequence],
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[list[float]]:
        """See `Session`. The document leaves the cache where both do not fit."""
        return [
            self._nats(list(sequence.ids), sequence.scored, cancelled) for sequence in sequences
        ]

    def _load_prefix(self, prompt: PromptFile | None) -> int:
        """Fill the beginning of the cache; the number of positions.

        Without a prompt it is the beginning-of-sequence token, or nothing if the template has none.
        A prompt of any form replaces that token.
        """
        if prompt is None:
            ids = self.model.encoder.beginning_ids
            if ids:
                self._cache.forward(ids, 0, scored=0)
            return len(ids)
        if prompt.manifest.form == "embedding":
            self._cache.forward_embeddings(prompt.embeddings)
        else:
            state = self.model.kv_shape.state_of_rows(prompt.embeddings)
            self._cache.set_state(state.encode(self._cache.cache))
        return prompt.manifest.num_virtual_tokens

    def _prefill(self, ids: Sequence[int], cancelled: Callable[[], bool]) -> int:
        """Compute all but the last id; the number of ids that are cached then."""
        while (start := len(self._cached_ids)) < len(ids) - 1:
            if cancelled():
                break
            chunk = ids[start : min(start + BATCH, len(ids) - 1)]
            position = self.num_virtual_tokens + start
            try:
                self._cache.forward(chunk, position, scored=0, cancel=cancel_flag(cancelled))
            except StepCancelledError:
                break
            self._cached_ids += chunk
        return len(self._cached_ids)

    def _step(
        self,
        pending: Sequence[int],
        draft: Sequence[int],
        allowed: Collection[int] | None,
        cancelled: Callable[[], bool],
    ) -> tuple[list[int], list[float]]:
        """See `code_model.greedy.Step`."""
        position = self.num_virtual_tokens + len(self._cached_ids)
        logits = self._cache.forward(
            [*pending, *draft], position, scored=len(draft) + 1, cancel=cancel_flag(cancelled)
        )
        chosen, logprobs = _most_likely(logits, allowed)
        accepted = common_length(draft, chosen)
        self._cached_ids += [*pending, *draft[:accepted]]
        if accepted < len(draft):
            self._cache.cut(self.num_virtual_tokens + len(self._cached_ids))
        return chosen[: accepted + 1], logprobs[: accepted + 1]

    def _reuse(self, ids: Sequence[int], max_new_tokens: int) -> int:
        """Cut the cache to the longest beginning that `ids` share with it.

        The last id is always computed again, because its logits are not cached.
        """
        check_input(self, ids, max_new_tokens)
        common = common_length(self._cached_ids, ids[:-1])
        self._forget(common)
        return common

    def _forget(self, length: int) -> None:
        """Keep the first `length` ids of the document."""
        if length < len(self._cached_ids):
            self._cache.cut(self.num_virtual_tokens + length)
            del self._cached_ids[length:]

    def _nats(self, ids: list[int], scored: int, cancelled: Callable[[], bool]) -> list[float]:
        """Nats of the last `scored` ids behind the prefix, computed in the sequence beside."""
        virtual = self.num_virtual_tokens
        if virtual + len(self._cached_ids) + len(ids) > self.model.max_positions:
            self._forget(0)
        self._cache.share_beginning(virtual)
        first = len(ids) - scored  # the id before it predicts it
        nats: list[float] = []
        try:
            for start in range(0, len(ids) - 1, BATCH):
                if cancelled():
                    raise StepCancelledError
                chunk = ids[start : min(start + BATCH, len(ids) - 1)]
                predicting = min(len(chunk), max(0, start + len(chunk) - first + 1))
                logits = self._cache.forward(
                    chunk,
                    virtual + start,
                    scored=predicting,
                    sequence=SCRATCH,
                    cancel=cancel_flag(cancelled),
                )
                end = start + len(chunk) + 1
                nats += _nats_of(logits, ids[end - predicting : end])
        finally:
            self._cache.cut(0, SCRATCH)
        return nats


def _most_likely(
    logits: NDArray[np.float32], allowed: Collection[int] | None
) -> tuple[list[int], list[float]]:
    """The likeliest id of each row (N, V) and its log-probability, among those `allowed`."""
    if allowed is not None:
        permitted = np.fromiter(allowed, np.int64)
        logits = logits[:, permitted]
    best = logits.argmax(axis=1)
    logprobs = logits[np.arange(len(logits)), best] - _log_sums(logits)
    ids = best if allowed is None else permitted[best]
    return ids.tolist(), logprobs.tolist()


def _nats_of(logits: NDArray[np.float32], ids: Sequence[int]) -> list[float]:
    """Negative log-probabilities of one id for each row (N, V)."""
    if not len(ids):
        return []
    chosen = logits[np.arange(len(ids)), np.asarray(ids)]
    nats: list[float] = (_log_sums(logits) - chosen).tolist()
    return nats


def _log_sums(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    highest = logits.max(axis=1)
    sums = np.exp(logits - highest[:, None]).sum(axis=1)
    result: NDArray[np.float32] = highest + np.log(sums)
    return result
