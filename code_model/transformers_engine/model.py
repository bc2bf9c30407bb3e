"""`TransformersModel`: a causal LM of transformers as a `LanguageModel` and `TunableModel`."""

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from code_model.bfloat16 import bfloat16_wins
from code_model.compatibility import check_prompt
from code_model.folder_model import FolderModel
from code_model.language_model import (
    Backend,
    CacheMemory,
    HeadQueries,
    ModelLoadError,
    Runtime,
    ScoredSequence,
)
from code_model.prompt_layout import kv_to_rows
from code_model.transformers_engine import loss
from code_model.transformers_engine.device import memory_of
from code_model.transformers_engine.kv_cache import keys_and_values
from code_model.transformers_engine.network import Network
from code_model.transformers_engine.prefix import Prefix, prefix_of, prefix_of_ids
from code_model.transformers_engine.queries import head_queries
from code_model.transformers_engine.session import TransformersSession
from code_model.weights_hash import weights_hash
from prompts.file import PromptFile
from prompts.form import Form

REFUSALS: Mapping[Form, str] = {
    "kv-nope": "the positions in this model's queries cannot be taken back, which it needs",
    "kv": "this model's keys and values have different sizes, and it has one for both",
}
RECOMPUTE_FROM = 300_000_000  # parameters; below, activations are small and memory is cheap


@dataclass(frozen=True, eq=False)
class TransformersModel(FolderModel):
    """A frozen model with what belongs to it. No parameter takes a gradient.

    `forms` are those that its keys and values allow (`probe`).
    """

    network: Network
    forms: Collection[Form]
    quantisation: str | None = None

    @property
    def runtime(self) -> Runtime:
        """See `LanguageModel`."""
        precision = str(self.network.dtype).removeprefix("torch.")
        return Runtime("transformers", precision, self.quantisation)

    @property
    def backend(self) -> Backend:
        """See `LanguageModel`."""
        return Backend(f"torch on {self.device}")

    @property
    def max_positions(self) -> int:
        """See `LanguageModel`."""
        config = self.network.causal.config.get_text_config(decoder=True)
        return int(config.max_position_embeddings)

    @property
    def is_shared(self) -> bool:
        """See `LanguageModel`."""
        return False

    @property
    def cache_memory(self) -> CacheMemory:
        """See `LanguageModel`."""
        return CacheMemory(self.runtime.precision)

    @property
    def num_parameters(self) -> int:
        """See `LanguageModel`."""
        return self.network.num_parameters

    def refusal(self, form: Form) -> str | None:
        """See `LanguageModel`."""
        if form in self.forms:
            return None
        return f"{REFUSALS[form]}; tune one with --form {next(iter(self.forms))}"

    @property
    def device(self) -> str:
        """See `LanguageModel`."""
        return str(self.network.device)

    def open(self, prompt: PromptFile | None = None) -> TransformersSession:
        """See `LanguageModel`. Raises `OutOfModelMemoryError` too."""
        with memory_of(self.name, self.network.device):
            return TransformersSession(self, prompt)

    def prepare(self) -> None:
        """Nothing is compiled."""

    @torch.no_grad()
    def prefix_of_prompt(self, prompt: PromptFile | None) -> Prefix:
        """The prefix in front of every request; without a prompt, `bare_prefix`.

        Raises `prompts.errors.IncompatiblePrompt` (`code_model.compatibility.check_prompt`).
        """
        if prompt is None:
            return self.bare_prefix()
        check_prompt(self, prompt)
        return self.prefix_of(torch.from_numpy(prompt.embeddings), prompt.manifest.form)

    @torch.no_grad()
    def prompt_embeddings_of(self, ids: Sequence[int], form: Form) -> Tensor:
        """See `TunableModel`."""
        if form == "embedding":
            return self.network.embed(torch.tensor(ids)).float().cpu()
        prefix = prefix_of_ids(self.network, list(ids))
        return kv_to_rows(torch.stack((prefix.keys, prefix.values), dim=1)).float().cpu()

    def prefix_of(self, prompt_embeddings: Tensor, form: Form) -> Prefix:
        """See `TunableModel`."""
        return prefix_of(self.network, prompt_embeddings, form)

    @torch.no_grad()
    def bare_prefix(self) -> Prefix:
        """See `TunableModel`."""
        return prefix_of_ids(self.network, list(self.encoder.beginning_ids))

    def loss(
        self,
        prefix: Prefix,
        sequences: Sequence[Sequence[int]],
        weights: Sequence[Sequence[float]],
    ) -> Tensor:
        """See `TunableModel`."""
        recompute = self.num_parameters >= RECOMPUTE_FROM
        with memory_of(self.name, self.network.device):
            nats = loss.weighted_nats(self.network, prefix, sequences, weights, recompute=recompute)
        return nats.cpu()

    def score(self, prefix: Prefix, sequences: Sequence[ScoredSequence]) -> list[list[float]]:
        """See `TunableModel`."""
        with memory_of(self.name, self.network.device):
            return loss.nats(self.network, prefix, sequences)

    def queries(
        self, ids: Sequence[int], prompt_embeddings: Tensor, form: Form
    ) -> list[HeadQueries] | None:
        """See `TunableModel`."""
        if not self.network.attends:
            return None
        return head_queries(self.network, ids, self.prefix_of(prompt_embeddings, form))

    @torch.no_grad()
    def nearest_tokens(self, prompt_embeddings: Tensor, form: Form) -> list[int]:
        """See `TunableModel`.

        In the kv forms by the values of the first layer, which have no position; embeddings
        directly.
        """
        network = self.network
        shape = network.shape
        everything = torch.arange(network.vocab_size)
        rows, wanted = list[Tensor](), prompt_embeddings.float()
        for part in everything.split(4096):
            if form == "embedding":
                rows.append(network.embed(part).float().cpu())
                continue
            cache = network.new_cache()
            positions = torch.zeros(len(part), 1, dtype=torch.long, device=network.device)
            network.hidden(positions, cache, ids=part[:, None].to(network.device))
            rows.append(keys_and_values(cache)[0][1].flatten(1).float().cpu())
        if form != "embedding":
            width = shape.heads * shape.value_size
            wanted = wanted[:, width : 2 * width]  # behind the keys of layer 0
        return torch.cdist(wanted, torch.cat(rows)).argmin(dim=1).tolist()

    def prefers_bfloat16(self) -> bool:
        """See `TunableModel`."""
        if self.quantisation is not None or self.network.dtype != torch.float32:
            return False
        return self.network.device.type == "cuda" or (
            self.network.device.type == "cpu" and bfloat16_wins()
        )

    def for_gradients(self, *, bfloat16: bool) -> "TransformersModel":
        """See `TunableModel`. A quantised model computes in one precision only: that is itself."""
        if not bfloat16 or self.quantisation is not None or self.network.dtype == torch.bfloat16:
            return self
        causal = copy.deepcopy(self.network.causal)
        for parameter in causal.parameters():  # not the buffers: rotary frequencies need float32
            parameter.data = parameter.data.bfloat16()
        return replace(self, network=self.network.with_causal(causal))

    def with_weights(self, weights: Mapping[str, Tensor]) -> "TransformersModel":
        """See `TunableModel`. Raises `ModelLoadError` for a quantised model."""
        if self.quantisation is not None:
            raise ModelLoadError(
                f"{self.name} is quantised, so its weights cannot be replaced; load it without a "
                "quantisation."
            )
        causal = copy.deepcopy(self.network.causal)
        own = causal.state_dict()
        causal.load_state_dict(
            {name: tensor for name, tensor in weights.items() if name in own}, strict=False
        )
        return replace(self, network=self.network.with_causal(causal))

    def weights_hash(self) -> str:
        """See `TunableModel`."""
        return weights_hash(self.network.causal)
