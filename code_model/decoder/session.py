"""Greedy decoding behind a resident prefix, reusing the KV of everything unchanged."""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from code_model.cancel import StepCancelledError, cancel_flag
from code_model.compatibility import context_of, show_thresholds_of
from code_model.decoder import loss
from code_model.decoder.kv_cache import KVCache
from code_model.decoder.soft_prompt import prefix_kv
from code_model.greedy_session import GreedySession
from code_model.kv_reuse import check_input, common_length
from code_model.language_model import ScoredSequence
from prompts.file import PromptFile

if TYPE_CHECKING:
    from code_model.decoder.model import DecoderModel

PREFILL_CHUNK = 128  # tokens between two tests of the cancel flag
MIN_SWAP_TOKENS = 64  # below, computing again is cheaper than a copy
MAX_SWAPPED_BYTES = 32 << 20  # of all swapped-out sequences together


@dataclass(frozen=True, eq=False)
class _SwappedOut:
    """Ids of another document with their keys and values (L, G, T, D), behind the prefix."""

    ids: list[int]
    keys: Tensor
    values: Tensor

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes


class DecoderSession(GreedySession["DecoderModel"]):
    """A `Session` of the decoder. Not thread-safe: one thread owns it.

    The prefix is resident at the beginning of the cache and never recomputed. Behind it is one
    document. Other documents' sequences are swapped out within `MAX_SWAPPED_BYTES`, the least
    recently used evicted first, and swapped in when a request shares their beginning.
    """

    def __init__(self, model: "DecoderModel", prompt: PromptFile | None = None) -> None:
        self.model = model
        self.prompt = prompt
        prefix = prefix_kv(model, prompt)
        manifest = None if prompt is None else prompt.manifest
        self.context = context_of(manifest)
        self.show_thresholds = show_thresholds_of(manifest, model.show_thresholds)
        self.num_virtual_tokens = prefix.tokens
        self._cache = KVCache(model.llama.config, model.max_positions)
        self._cache.load_prefix(prefix)
        self._cached_ids: list[int] = []
        self._swapped_out: deque[_SwappedOut] = deque()

    def room(self, max_new_tokens: int) -> int:
        """Context tokens that fit beside the prefix and the new tokens."""
        return self._cache.capacity - self.num_virtual_tokens - max_new_tokens

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
                self.model.forward.step(chunk, self._cache, scored=0, cancel=cancel_flag(cancelled))
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
        chosen, logprobs = self.model.forward.step(
            [*pending, *draft], self._cache, len(draft) + 1, cancel_flag(cancelled), allowed
        )
        accepted = common_length(draft, chosen)
        self._cached_ids += [*pending, *draft[:accepted]]
        self._cache.rewind(self.num_virtual_tokens + len(self._cached_ids))
        return chosen[: accepted + 1], logprobs[: accepted + 1]

    def _reuse(self, ids: Sequence[int], max_new_tokens: int) -> int:
        """Rewind to the longest beginning that `ids` share with this or a swapped-out document.

        The last id is always computed again, because its logits are not cached.
        """
        check_input(self, ids, max_new_tokens)
        wanted = list(ids[:-1])
        common = common_length(self._cached_ids, wanted)
        best = max(
            self._swapped_out, key=lambda other: common_length(other.ids, wanted), default=None
        )
        if best is not None and common_length(best.ids, wanted) >= common + MIN_SWAP_TOKENS:
            self._swap_out()
            self._swap_in(best)
            common = common_length(best.ids, wanted)
        elif len(self._cached_ids) - common >= MIN_SWAP_TOKENS:
            self._swap_out()
        self._cache.rewind(self.num_virtual_tokens + common)
        del self._cached_ids[common:]
        return common

    def _swap_out(self) -> None:
        """Copy the document's keys and values out of the cache."""
        if len(self._cached_ids) < MIN_SWAP_TOKENS:
            return
        own = slice(self.num_virtual_tokens, self._cache.length)
        self._swapped_out.append(
            _SwappedOut(
                list(self._cached_ids),
                self._cache.keys[:, :, own].clone(),
                self._cache.values[:, :, own].clone(),
            )
        )
        while sum(sequence.nbytes for sequence in self._swapped_out) > MAX_SWAPPED_BYTES:
            self._swapped_out.popleft()

    def _swap_in(self, sequence: _SwappedOut) -> None:
        if sequence in self._swapped_out:  # swapping the other out may have evicted it
            self._swapped_out.remove(sequence)
        end = self.num_virtual_tokens + len(sequence.ids)
        self._cache.keys[:, :, self.num_virtual_tokens : end] = sequence.keys
        self._cache.values[:, :, self.num_virtual_tokens : end] = sequence.values
        self._cache.length = end
        self._cached_ids = list(sequence.ids)
