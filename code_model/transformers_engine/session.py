"""Greedy decoding behind a resident prefix, on a cache that is kept and cut between requests."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import Cache

from code_model.compatibility import context_of, show_thresholds_of
from code_model.greedy import StepResult
from code_model.greedy_session import GreedySession
from code_model.kv_reuse import check_input, common_length
from code_model.language_model import ScoredSequence
from code_model.transformers_engine import loss
from code_model.transformers_engine.device import memory_of
from code_model.transformers_engine.kv_cache import crop
from prompts.file import PromptFile

if TYPE_CHECKING:
    from code_model.transformers_engine.model import TransformersModel

PREFILL_CHUNK = {"cpu": 128}  # tokens between two tests of the cancel flag
PREFILL_CHUNK_ON_ACCELERATOR = 512


class TransformersSession(GreedySession["TransformersModel"]):
    """A `Session` of this engine. Not thread-safe: one thread owns it.

    The prefix is resident at the beginning of the cache; behind it is one document.
    """

    def __init__(self, model: "TransformersModel", prompt: PromptFile | None = None) -> None:
        self.model = model
        self.prompt = prompt
        # on the CPU a step of six tokens takes half as long again as one, more than drafts save
        self.speculate = model.network.device.type != "cpu"
        self.prefix = model.prefix_of_prompt(prompt)
        manifest = None if prompt is None else prompt.manifest
        self.context = context_of(manifest)
        self.show_thresholds = show_thresholds_of(manifest, model.show_thresholds)
        self._cache: Cache | None = None
        self._cached_ids: list[int] = []

    @property
    def num_virtual_tokens(self) -> int:
        """See `Session`."""
        return self.prefix.tokens

    def room(self, max_new_tokens: int) -> int:
        """See `Session`."""
        return self.model.max_positions - self.num_virtual_tokens - max_new_tokens

    def score(
        self,
        sequences: Sequence[ScoredSequence],
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[list[float]]:
        """See `Session`; beside the cache. Raises `OutOfModelMemoryError` too."""
        with self._computing():
            return loss.nats(self.model.network, self.prefix, sequences, cancelled)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Drop the cache after an error: some layers may have taken up more tokens than others.

        So the next request has room again where memory ran out.
        """
        with memory_of(self.model.name, self.model.network.device):
            try:
                yield
            except (RuntimeError, MemoryError):
                self._cache = None
                self._cached_ids = []
                raise

    def _prefill(self, ids: Sequence[int], cancelled: Callable[[], bool]) -> int:
        """Compute all but the last id; the number of ids that are cached then."""
        size = PREFILL_CHUNK.get(self.model.network.device.type, PREFILL_CHUNK_ON_ACCELERATOR)
        while (start := len(self._cached_ids)) < len(ids) - 1:
            if cancelled():
                break
            chunk = list(ids[start : min(start + size, len(ids) - 1)])
            self._forward(chunk)
            self._cached_ids += chunk
        return len(self._cached_ids)

    def _step(
        self,
        pending: Sequence[int],
        draft: Sequence[int],
        allowed: Collection[int] | None,
        cancelled: Callable[[], bool],
    ) -> StepResult:
        """See `code_model.greedy.Step`."""
        hidden = self._forward([*pending, *draft])
        logits = self.model.network.logits(hidden[-len(draft) - 1 :]).float()
        chosen, logprobs = self.choose(logits, allowed)
        accepted = common_length(draft, chosen)
        self._cached_ids += [*pending, *draft[:accepted]]
        self._crop()
        return chosen[: accepted + 1], logprobs[: accepted + 1]

    @torch.inference_mode()
    def _forward(self, ids: Sequence[int]) -> Tensor:
        """Hidden states (T, d) of `ids` behind the cache, which grows by them."""
        network = self.model.network
        positions = torch.arange(len(ids), device=network.device) + self.next_position
        on_device = torch.tensor(ids, device=network.device)[None]
        attend = self.prefix.attend(network, positions)
        return network.hidden(positions, self.cache(), ids=on_device, attend=attend)[0]

    @property
    def next_position(self) -> int:
        """That of the token behind the cache."""
        return len(self._cached_ids) + self.prefix.tokens - self.prefix.nope

    def cache(self) -> Cache:
        """Prefix and document. Who lets it grow says so (`has_cached`)."""
        if self._cache is None:
            self._cache = self.prefix.resident(self.model.network.dtype)
        return self._cache

    def has_cached(self, token: int) -> None:
        """The cache has grown by a token."""
        self._cached_ids.append(token)

    @staticmethod
    @torch.inference_mode()
    def choose(logits: Tensor, allowed: Collection[int] | None) -> StepResult:
        """The most likely ids by logits (T, V), and their log-probabilities (nats)."""
        if allowed is not None:
            permitted = torch.tensor(sorted(allowed), device=logits.device)
            logits = logits[:, permitted]
        best, chosen = logits.max(-1)
        if allowed is not None:
            chosen = permitted[chosen]
        return chosen.tolist(), (best - logits.logsumexp(-1)).tolist()

    def _reuse(self, ids: Sequence[int], max_new_tokens: int) -> int:
        """Cut the cache to the longest beginning that it shares with `ids`; its length.

        The last id is always computed again, because its logits are not cached.
        """
        check_input(self, ids, max_new_tokens)
        common = common_length(self._cached_ids, ids[:-1])
        del self._cached_ids[common:]
        self._crop()
        return common

    def _crop(self) -> None:
        if self._cache is not None:
            crop(self._cache, self.prefix.tokens + len(self._cached_ids))
