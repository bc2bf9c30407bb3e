"""Greedy decoding behind a resident prefix, reusing the KV of everything unchanged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from code_model.llama import KVCache
from code_model.loading import BaseModel
from code_model.soft_prompt import prefix_kv
from prompts.file import PromptFile

PREFILL_CHUNK = 128  # tokens between two looks at the cancel flag

FinishReason = Literal["end", "stop", "length", "cancelled"]


class ContextTooLongError(ValueError):
    """Prefix, ids and new tokens do not fit the model's positions."""


@dataclass(frozen=True)
class Generation:
    """New ids (without the end token), their text and log-probabilities (nats, one for each id).

    `prefilled` counts the tokens that had to be computed before the first new one.
    """

    ids: tuple[int, ...]
    text: str
    logprobs: tuple[float, ...]
    finish_reason: FinishReason
    prefilled: int


class Engine:
    """One frozen model, one soft prompt, one KV cache. Not thread-safe: one thread owns it."""

    def __init__(self, base: BaseModel, prompt: PromptFile | None = None) -> None:
        self.base = base
        self.prompt = prompt
        prefix = prefix_kv(base, prompt)
        self.prefix_tokens = prefix.shape[3]
        self._cache = KVCache(base.model.config, base.model.config.max_position_embeddings)
        self._cache.load_prefix(prefix)
        self._cached_ids: list[int] = []

    def room(self, max_new_tokens: int) -> int:
        """Context tokens that fit beside the prefix and the new tokens."""
        return self._cache.capacity - self.prefix_tokens - max_new_tokens

    @torch.inference_mode()
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
        `max_new_tokens`, or when `cancelled` says so, which is asked at every token.

        Raises `ContextTooLongError` if it cannot fit, `ValueError` without ids.
        """
        if not ids:
            raise ValueError("there must be at least one id to continue")
        if len(ids) > self.room(max_new_tokens):
            raise ContextTooLongError(
                f"{len(ids)} tokens do not fit beside {self.prefix_tokens} of the prefix and "
                f"{max_new_tokens} new ones; give a smaller context"
            )
        new: list[int] = []
        logprobs: list[float] = []
        text = ""
        reused = self._reuse(ids)
        hidden = None
        for start in range(reused, len(ids), PREFILL_CHUNK):
            if cancelled():
                return Generation((), "", (), "cancelled", start - reused)
            hidden = self._forward(ids[start : start + PREFILL_CHUNK])
        prefilled = len(ids) - reused
        reason: FinishReason = "length"
        while hidden is not None and len(new) < max_new_tokens:
            if cancelled():
                reason = "cancelled"
                break
            scores = self.base.model.logits(hidden[0, -1])
            chosen = int(scores.argmax())
            if chosen in self.base.encoder.end_ids:
                reason = "end"
                break
            new.append(chosen)
            logprobs.append(float(scores[chosen] - scores.logsumexp(-1)))
            text = self.base.tokenizer.decode(new)
            if stop(text):
                reason = "stop"
                break
            if len(new) < max_new_tokens:
                hidden = self._forward([chosen])
        return Generation(tuple(new), text, tuple(logprobs), reason, prefilled)

    def _forward(self, ids: Sequence[int]) -> torch.Tensor:
        hidden = self.base.model.forward_cached(torch.tensor([list(ids)]), self._cache)
        self._cached_ids += ids
        return hidden

    def _reuse(self, ids: Sequence[int]) -> int:
        """Rewind the cache to the longest common prefix; the last id is always computed again,
        because its hidden state is not kept."""
        common = 0
        for cached, wanted in zip(self._cached_ids, ids[:-1], strict=False):
            if cached != wanted:
                break
            common += 1
        self._cache.rewind(self.prefix_tokens + common)
        del self._cached_ids[common:]
        return common
