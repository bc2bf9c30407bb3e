"""`DecoderModel`: our own decoder as a `LanguageModel` and `TunableModel`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from code_model.bfloat16 import bfloat16_wins
from code_model.decoder import loss, soft_prompt
from code_model.decoder.forward import BestForward
from code_model.decoder.kv_cache import PrefixKV
from code_model.decoder.library import backend
from code_model.decoder.llama import Llama
from code_model.decoder.precision import autocast_of, dense, in_bfloat16
from code_model.decoder.queries import head_queries
from code_model.decoder.session import DecoderSession
from code_model.fim import FimEncoder
from code_model.language_model import Backend, CacheMemory, HeadQueries, Runtime, ScoredSequence
from code_model.memory import BYTES, RESERVE, free_bytes
from code_model.show_thresholds import UNCALIBRATED, ShowThresholds
from code_model.tokenizer import Tokenizer
from code_model.weights_hash import weights_hash
from prompts.file import PromptFile
from prompts.form import Form
from prompts.manifest import ModelIdentity

RECOMPUTE_FROM = 300_000_000  # parameters; below, activations are small and memory is cheap


@dataclass(frozen=True, eq=False)
class DecoderModel:
    """A frozen model with what belongs to it. No parameter takes a gradient.

    Its prefixes are `PrefixKV`; one that a copy in another precision made is as good.
    """

    name: str
    folder: Path
    llama: Llama
    tokenizer: Tokenizer
    encoder: FimEncoder
    model_fingerprint: str
    tokenizer_fingerprint: str
    show_thresholds: ShowThresholds = UNCALIBRATED

    @cached_property
    def forward(self) -> BestForward:
        """The forward step over cached keys and values, shared by all sessions."""
        return BestForward(self.llama)

    @property
    def identity(self) -> ModelIdentity:
        """See `LanguageModel`."""
        config = self.llama.config
        return ModelIdentity(
            name=self.name,
            model_fingerprint=self.model_fingerprint,
            tokenizer_fingerprint=self.tokenizer_fingerprint,
            layout_fingerprint=self.encoder.template.fingerprint(),
            num_layers=config.num_hidden_layers,
            num_key_value_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            hidden_size=config.hidden_size,
        )

    @property
    def runtime(self) -> Runtime:
        """See `LanguageModel`."""
        dtype = str(self.llama.dtype).removeprefix("torch.")
        return Runtime("decoder", dtype, self.llama.quantisation)

    @property
    def backend(self) -> Backend:
        """See `LanguageModel`."""
        return backend()

    @property
    def max_positions(self) -> int:
        """See `LanguageModel`."""
        return self.llama.config.max_position_embeddings

    @property
    def is_shared(self) -> bool:
        """See `LanguageModel`."""
        return False

    @property
    def cache_memory(self) -> CacheMemory:
        """See `LanguageModel`: `KVCache` has float16."""
        return CacheMemory("float16")

    @property
    def num_parameters(self) -> int:
        """See `LanguageModel`."""
        return self.llama.num_parameters

    @property
    def forms(self) -> Collection[Form]:
        """All of them."""
        return get_args(Form)

    def refusal(self, form: Form) -> str | None:
        """None: it can serve all."""
        return None

    @property
    def device(self) -> str:
        """The CPU."""
        return "cpu"

    def open(self, prompt: PromptFile | None = None) -> DecoderSession:
        """See `LanguageModel`."""
        return DecoderSession(self, prompt)

    def prepare(self) -> None:
        """Compile the forward step in the background."""
        self.forward.compile()

    def prompt_embeddings_of(self, ids: Sequence[int], form: Form) -> Tensor:
        """See `TunableModel`."""
        if form == "embedding":
            embedded: Tensor = self.llama.model.embed_tokens(torch.tensor(ids, dtype=torch.long))
            return embedded.detach()
        return soft_prompt.kv_to_rows(soft_prompt.kv_of_ids(self.llama, ids))

    def prefix_of(self, prompt_embeddings: Tensor, form: Form) -> PrefixKV:
        """See `TunableModel`."""
        with autocast_of(self.llama):
            return soft_prompt.prefix_of(self.llama, prompt_embeddings, form)

    def bare_prefix(self) -> PrefixKV:
        """See `TunableModel`."""
        return soft_prompt.prefix_kv(self, None)

    def loss(
        self,
        prefix: PrefixKV,
        sequences: Sequence[Sequence[int]],
        weights: Sequence[Sequence[float]],
    ) -> Tensor:
        """See `TunableModel`."""
        recompute = self.num_parameters >= RECOMPUTE_FROM
        return loss.weighted_nats(self.llama, prefix, sequences, weights, recompute=recompute)

    def score(self, prefix: PrefixKV, sequences: Sequence[ScoredSequence]) -> list[list[float]]:
        """See `TunableModel`."""
        return loss.nats(self.llama, prefix, sequences)

    def queries(
        self, ids: Sequence[int], prompt_embeddings: Tensor, form: Form
    ) -> list[HeadQueries]:
        """See `TunableModel`."""
        return head_queries(self.llama, ids, self.prefix_of(prompt_embeddings, form))

    def nearest_tokens(self, prompt_embeddings: Tensor, form: Form) -> list[int]:
        """See `TunableModel`."""
        return soft_prompt.nearest_tokens(self.llama, prompt_embeddings, form)

    def prefers_bfloat16(self) -> bool:
        """See `TunableModel`."""
        return bfloat16_wins()

    def for_gradients(self, *, bfloat16: bool) -> "DecoderModel":
        """See `TunableModel`: with all weights as floats, which rounded ones become at each step.

        Without the memory for float32, rounded ones stay as they are.
        """
        if bfloat16:
            return replace(self, llama=in_bfloat16(self.llama))
        size = int(BYTES["float32"]) * self.num_parameters
        if self.llama.quantisation is None or size + RESERVE > free_bytes():
            return self
        return replace(self, llama=dense(self.llama))

    def with_weights(self, weights: Mapping[str, Tensor]) -> "DecoderModel":
        """See `TunableModel`; quantised as this one."""
        llama = Llama(self.llama.config)
        own = llama.state_dict()
        llama.load_state_dict({name: tensor for name, tensor in weights.items() if name in own})
        if self.llama.quantisation is not None:
            for name in (name for name, tensor in own.items() if tensor.ndim == 2):
                llama.quantise(name, weights[name], self.llama.quantisation)
        return replace(self, llama=llama.requires_grad_(False).eval())

    def weights_hash(self) -> str:
        """See `TunableModel`."""
        return weights_hash(self.llama)
