"""The seam between the product and its engines: a loaded model, a session on it, and tuning.

An engine is a folder of `code_model` that implements `LanguageModel` and `Session` and, if it gives
gradients, `TunableModel`. `code_model.loading` chooses one. Everything else uses these protocols
only, so a new engine changes nothing above. This module imports nothing heavy.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from code_context.context import ContextConfig
from code_model.fim import FimEncoder
from code_model.out_of_memory import OutOfModelMemoryError
from code_model.show_thresholds import ShowThresholds
from code_model.tokenizer import Tokenizer
from prompts.file import PromptFile
from prompts.form import Form
from prompts.manifest import ModelIdentity
from prompts.validation import is_label

if TYPE_CHECKING:
    from torch import Tensor

FinishReason = Literal["end", "stop", "length", "unlikely", "cancelled"]


class ModelLoadError(Exception):
    """The model cannot be used; the message says what is wrong and what to do."""


class NotEnoughMemoryError(ModelLoadError, OutOfModelMemoryError):
    """There is no memory to load the model now; there may be, once other programs have ended."""


class ContextTooLongError(ValueError):
    """Soft prompt, ids and new tokens exceed the model's positions."""


class ModelUnreachableError(Exception):
    """A model on another machine gave no usable answer in time; the session can be used again.

    The message is the reason, as the rest of a sentence.
    """


class PromptUnservedError(ModelUnreachableError):
    """The other machine cannot serve this session's prompt; it may serve others."""


class ScoreRefusedError(Exception):
    """An engine cannot score here; the message is the reason, as the rest of a sentence."""


@dataclass(frozen=True)
class Runtime:
    """What computes a model: two runtimes give slightly different numbers.

    `precision` is that of the weights' arithmetic ("float32"), `quantisation` the name of the
    scheme, None for full weights.
    """

    engine: str
    precision: str
    quantisation: str | None = None

    @staticmethod
    def from_json(value: Any) -> "Runtime | None":
        """What a prompt file says that measured it; None for anything else."""
        if not isinstance(value, dict) or value.keys() != {"engine", "precision", "quantisation"}:
            return None
        if not all(part is None or is_label(part) for part in value.values()):
            return None
        return Runtime(**value)

    def __str__(self) -> str:
        quantisation = "" if self.quantisation is None else f" ({self.quantisation})"
        return f"{self.engine} in {self.precision}{quantisation}"


@dataclass(frozen=True)
class Backend:
    """What computes a model on this machine, for people.

    `problem` is a sentence on what makes it slower than it need be, None where nothing does.
    """

    means: str
    problem: str | None = None


@dataclass(frozen=True)
class CacheMemory:
    """What a session keeps in memory: keys and values in `precision`.

    `reserved` counts the positions that it takes memory for at once; 0 where it takes that as it
    needs it.
    """

    precision: str
    reserved: int = 0


@dataclass(frozen=True)
class Generation:
    """Generated ids (without the end token), their text and log-probabilities (nats, one per id).

    `prefilled` counts the input tokens that were computed, not cached. `steps` counts the forward
    passes that gave new ids: fewer than ids where drafts were right. If generation finished as
    "unlikely", the last id is the one that took the joint probability below the threshold.
    """

    ids: tuple[int, ...]
    text: str
    logprobs: tuple[float, ...]
    finish_reason: FinishReason
    prefilled: int
    steps: int = 0


class ScoredSequence(Protocol):
    """Token ids of which the last `scored` count; there is at least one id before them."""

    @property
    def ids(self) -> Sequence[int]:
        """All ids, without the beginning-of-sequence token."""

    @property
    def scored(self) -> int:
        """How many ids at the end are scored."""


@dataclass(frozen=True)
class ScoredIds:
    """The plainest `ScoredSequence`."""

    ids: Sequence[int]
    scored: int


class Session(Protocol):
    """One model, one soft prompt, one KV cache. Not thread-safe: one thread owns it."""

    @property
    def model(self) -> "LanguageModel":
        """The model that it computes with."""

    @property
    def prompt(self) -> PromptFile | None:
        """The soft prompt in front of every request."""

    @property
    def context(self) -> ContextConfig:
        """The context that the prompt was tuned with; without one, the default."""

    @property
    def show_thresholds(self) -> ShowThresholds:
        """Joint log-probabilities (nats) below which a text is not shown: the prompt's, else the
        model's."""

    @property
    def num_virtual_tokens(self) -> int:
        """Positions in the cache that the prompt takes; without one, the beginning token's."""

    def room(self, max_new_tokens: int) -> int:
        """Input tokens that fit beside the prompt and `max_new_tokens`."""

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
        """The greedy continuation of `ids`.

        The generated ids begin with `must_spell` (token healing: what the user has typed of a
        token), which neither the text of the result nor the one that `stop` sees includes.

        Ends at an end token of the FIM template, when `stop` accepts the text so far, after
        `max_new_tokens`, when the joint log-probability (nats) falls below `threshold`, or when
        `cancelled` returns true. `stop` sees the text after every token.

        Raises `ContextTooLongError` if it does not fit, `ValueError` without ids, and
        `ModelUnreachableError` where another machine computes.
        """

    def prefill(self, ids: Sequence[int], cancelled: Callable[[], bool] = lambda: False) -> None:
        """Cache the keys and values of `ids` before a request that begins with them.

        Raises as `generate`.
        """

    def score(
        self,
        sequences: Sequence[ScoredSequence],
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[list[float]]:
        """Nats (negative log-probabilities) of each sequence's scored ids behind the prompt.

        The cache stays as it is. Raises `code_model.cancel.StepCancelledError` soon after
        `cancelled` returns true, `ScoreRefusedError` where the engine cannot, and
        `ModelUnreachableError`.
        """


class LanguageModel(Protocol):
    """A frozen model, loaded by one engine."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def folder(self) -> Path:
        """The files that it was loaded from."""

    @property
    def identity(self) -> ModelIdentity:
        """What a soft prompt is bound to."""

    @property
    def runtime(self) -> Runtime:
        """The engine and its precision."""

    @property
    def backend(self) -> Backend:
        """What computes it here, and what makes that slow."""

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to ids and back."""

    @property
    def encoder(self) -> FimEncoder:
        """From a context to ids, by the model's FIM template."""

    @property
    def max_positions(self) -> int:
        """Positions for prompt, input and generated tokens together."""

    @property
    def cache_memory(self) -> CacheMemory:
        """What each of its sessions keeps."""

    @property
    def num_parameters(self) -> int:
        """How many weights it has."""

    @property
    def show_thresholds(self) -> ShowThresholds:
        """Those of the bare model."""

    @property
    def is_shared(self) -> bool:
        """Whether other people's requests wait for it too, so that nothing is computed ahead."""

    @property
    def forms(self) -> Collection[Form]:
        """The forms of prompts that it can serve."""

    def refusal(self, form: Form) -> str | None:
        """Why it cannot serve a form, and what to do, as the rest of a sentence; None if it can."""

    @property
    def device(self) -> str:
        """What computes it, by torch's name: "cpu", "cuda:0"; "gpu" where only an engine knows."""

    def open(self, prompt: PromptFile | None = None) -> Session:
        """A session behind `prompt`.

        Raises `prompts.errors.IncompatiblePrompt` (`code_model.compatibility.check_prompt`).
        """

    def prepare(self) -> None:
        """Start in the background what makes later requests faster; returns at once."""


@runtime_checkable
class TunableModel(LanguageModel, Protocol):
    """A model that gives gradients in a soft prompt. Its own weights stay frozen.

    A prefix is whatever the engine makes of prompt embeddings; only the engine looks inside, and
    copies of a model share their prefixes. P is the number of virtual tokens, the width that of a
    prompt file.
    """

    def prompt_embeddings_of(self, ids: Sequence[int], form: Form) -> "Tensor":
        """Prompt embeddings (P, width) that stand for the tokens `ids`.

        In the form kv-nope, keys of the positions 0..P-1 then count as if they had none.
        """

    def prefix_of(self, prompt_embeddings: "Tensor", form: Form) -> Any:
        """The prefix of prompt embeddings (P, width), differentiable in them."""

    def bare_prefix(self) -> Any:
        """The prefix without a soft prompt: the beginning-of-sequence token, if there is one."""

    def loss(
        self,
        prefix: Any,
        sequences: Sequence[Sequence[int]],
        weights: Sequence[Sequence[float]],
    ) -> "Tensor":
        """Weighted sum of the nats of all sequences behind `prefix`, differentiable in it.

        `weights` holds one number for each id but the first. Sequences are exact: each has the
        loss that it has alone.
        """

    def score(self, prefix: Any, sequences: Sequence[ScoredSequence]) -> list[list[float]]:
        """As `Session.score`, behind a prefix; not differentiable."""

    def queries(
        self, ids: Sequence[int], prompt_embeddings: "Tensor", form: Form
    ) -> "list[HeadQueries] | None":
        """For each layer, what attention computes for `ids` behind the first virtual token.

        None if the engine cannot see it in this model.
        """

    def nearest_tokens(self, prompt_embeddings: "Tensor", form: Form) -> list[int]:
        """The vocabulary's token nearest to each virtual token, as far as a form shows it."""

    def prefers_bfloat16(self) -> bool:
        """Whether tuning is faster in bfloat16 on this machine."""

    def for_gradients(self, *, bfloat16: bool) -> "TunableModel":
        """A copy for `prefix_of`, `loss` and `score` at many steps: in bfloat16, or with the same
        numbers. That is the model itself where a copy would not be faster."""

    def with_weights(self, weights: "Mapping[str, Tensor]") -> "TunableModel":
        """A copy with other weights, by their Hugging Face names; names it lacks are ignored."""

    def weights_hash(self) -> str:
        """SHA-256 of all weights: unchanged as long as the model stays frozen."""


@dataclass(frozen=True)
class HeadQueries:
    """What one layer's key/value heads are asked at N places: G heads, D channels.

    `queries` (G, N, D), the attention outputs without virtual tokens `outputs` (G, N, D), and
    `log_sums` (G, N), the log of the summed attention weights.
    """

    queries: "Tensor"
    outputs: "Tensor"
    log_sums: "Tensor"
