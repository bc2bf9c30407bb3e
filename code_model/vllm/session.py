"""Greedy decoding by a server: where a text ends is decided here, token by token."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from http.client import INTERNAL_SERVER_ERROR
from typing import TYPE_CHECKING, Any

from code_model.cancel import StepCancelledError
from code_model.compatibility import check_prompt, context_of, show_thresholds_of
from code_model.greedy_session import GreedySession
from code_model.kv_reuse import check_input
from code_model.language_model import (
    PromptUnservedError,
    ScoredSequence,
    ScoreRefusedError,
)
from code_model.vllm.answers import ANSWER, RubbishError, nats_of, parse
from code_model.vllm.client import ServerRefusalError, TokenStream
from code_model.vllm.model_input import PlaceholderBeginning, TokenBeginning
from prompts.file import PromptFile

if TYPE_CHECKING:
    from code_model.vllm.model import VllmModel

FIRST_TOKEN, NEXT_TOKEN = 0.5, 0.25  # of the time-out; what is left is for another model's answer
BACKGROUND_S = 10.0  # for what nobody waits for
UNSERVED_S = 60.0  # until a server is asked again whether it can serve a prompt
UNSERVED = "it cannot serve this soft prompt; its store may lack the file, and its log says why"
COMPLETIONS = "/v1/completions"

GREEDY: dict[str, Any] = {
    "temperature": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "logprobs": 0,  # of the chosen token only
    "return_token_ids": True,
    "return_tokens_as_token_ids": True,
}


class VllmSession(GreedySession["VllmModel"]):
    """A `Session` of this engine. Not thread-safe: one thread owns it.

    The keys and values are the server's, which finds the beginning of a request in its prefix
    cache. All methods that ask it raise `ModelUnreachableError`.
    """

    speculate = False  # the server may; what it answers is the same

    def __init__(self, model: "VllmModel", prompt: PromptFile | None = None) -> None:
        self.model = model
        self.prompt = prompt
        if prompt is not None:
            check_prompt(model, prompt)
        manifest = None if prompt is None else prompt.manifest
        self.context = context_of(manifest)
        self.show_thresholds = show_thresholds_of(manifest, model.show_thresholds)
        self._beginning = model.beginning_of(prompt)
        self._ids: list[int] = []
        self._ends_at = self._stream_ends_at = 0
        self._stream: TokenStream | None = None
        self._unserved_until = 0.0

    @property
    def num_virtual_tokens(self) -> int:
        """See `Session`."""
        return self._beginning.positions

    def room(self, max_new_tokens: int) -> int:
        """See `Session`."""
        return self.model.max_positions - self.num_virtual_tokens - max_new_tokens

    def prefill(self, ids: Sequence[int], cancelled: Callable[[], bool] = lambda: False) -> None:
        """See `Session`. The server computes one token more, which nobody reads."""
        check_input(self, ids, 1)
        body = self._body(ids, max_tokens=1)
        try:
            with self._asking():
                self.model.client.post(COMPLETIONS, body, BACKGROUND_S, cancelled)
        except StepCancelledError:
            return

    def score(
        self,
        sequences: Sequence[ScoredSequence],
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[list[float]]:
        """See `Session`. Raises `ScoreRefusedError` behind a prompt.

        vLLM gives the log-probabilities of an input's tokens, but not behind embeddings.
        """
        if not isinstance(self._beginning, TokenBeginning):
            raise ScoreRefusedError(
                "vLLM gives no log-probabilities of an input that begins with a soft prompt"
            )
        return [self._nats(sequence, cancelled) for sequence in sequences]

    def _nats(self, sequence: ScoredSequence, cancelled: Callable[[], bool]) -> list[float]:
        ids = list(sequence.ids)
        check_input(self, ids, 1)
        body = self._body(ids, max_tokens=1, prompt_logprobs=0)
        with self._asking():
            data = self.model.client.post(COMPLETIONS, body, BACKGROUND_S, cancelled)
        choices = parse(ANSWER, data).choices
        entries = choices[0].prompt_logprobs if choices else None
        if entries is None or len(entries) != self.num_virtual_tokens + len(ids):
            raise RubbishError
        scored = range(len(ids) - sequence.scored, len(ids))
        return [nats_of(entries[self.num_virtual_tokens + at], ids[at]) for at in scored]

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Around a request. Raises `PromptUnservedError`, for a while without asking again.

        vLLM ends a request whose prompt its connector cannot load with an error of its own.
        """
        if time.monotonic() < self._unserved_until:
            raise PromptUnservedError(UNSERVED)
        try:
            yield
        except ServerRefusalError as error:
            is_of_prompt = isinstance(self._beginning, PlaceholderBeginning)
            if error.status != INTERNAL_SERVER_ERROR or not is_of_prompt:
                raise
            self._unserved_until = time.monotonic() + UNSERVED_S
            raise PromptUnservedError(UNSERVED) from None

    @contextmanager
    def _computing(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._close()

    def _reuse(self, ids: Sequence[int], max_new_tokens: int) -> int:
        """See `GreedySession`; how much the server has cached is not known here."""
        check_input(self, ids, max_new_tokens)
        self._ids = list(ids)
        self._ends_at = len(ids) + max_new_tokens
        return 0

    def _prefill(self, ids: Sequence[int], cancelled: Callable[[], bool]) -> int:
        """Nothing: the request for the first token computes the input."""
        return len(ids) - 1

    def _step(
        self,
        pending: Sequence[int],
        draft: Sequence[int],
        allowed: Collection[int] | None,
        cancelled: Callable[[], bool],
    ) -> tuple[list[int], list[float]]:
        """See `code_model.greedy.Step`. Where tokens are constrained, each is a request."""
        share = NEXT_TOKEN if self._stream is not None else FIRST_TOKEN
        limit_s = share * self.model.server.timeout_s
        with self._asking():
            self._stream = self._stream or self._open(allowed)
            token, logprob = self._stream.next(limit_s, cancelled)
        self._ids.append(token)
        if allowed is not None:
            self._close()
        return [token], [logprob]

    def _open(self, allowed: Collection[int] | None) -> TokenStream:
        self._stream_ends_at = self._ends_at if allowed is None else len(self._ids) + 1
        body = self._body(self._ids, max_tokens=self._stream_ends_at - len(self._ids))
        if allowed is not None:
            body["allowed_token_ids"] = sorted(allowed)
        body["stop_token_ids"] = sorted(self.model.encoder.end_ids)
        return self.model.client.stream(body, self.model.vocabulary_size)

    def _close(self) -> None:
        if self._stream is not None:
            ended = self._ids[-1] in self.model.encoder.end_ids
            self._stream.close(has_all=ended or len(self._ids) == self._stream_ends_at)
            self._stream = None

    def _body(self, ids: Sequence[int], **others: Any) -> dict[str, Any]:
        return {
            "model": self.model.served_name,
            **self._beginning.request(ids),
            **GREEDY,
            **others,
        }
