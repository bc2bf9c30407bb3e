"""`VllmModel`: a model that a team's server computes, as a `LanguageModel`."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import torch

from code_model.folder_model import FolderModel
from code_model.language_model import Backend, CacheMemory, Runtime
from code_model.team_server import TeamServer, served_name
from code_model.vllm.client import VllmClient
from code_model.vllm.model_input import (
    Beginning,
    EmbeddingBeginning,
    EmbeddingTable,
    PlaceholderBeginning,
    TokenBeginning,
)
from code_model.vllm.placeholders import placeholder_ids
from code_model.vllm.session import VllmSession
from prompts.file import PromptFile, encode_prompt
from prompts.form import Form

PLAIN_EMBEDDINGS = {"llama", "mistral", "qwen2", "qwen3"}
"""Model types (of config.json) that scale no embedding; others refuse embedding prompts here."""

NO_POSITIONS = (
    "vLLM rotates every query and key, so virtual keys without positions would count otherwise "
    "than they were tuned; tune one with --form kv"
)


@dataclass(frozen=True, eq=False)
class VllmModel(FolderModel):
    """A frozen model on a server; what describes it lies in a folder on this machine."""

    server: TeamServer
    client: VllmClient

    @property
    def runtime(self) -> Runtime:
        """See `LanguageModel`: the precision is the one that the server stated."""
        return Runtime("vllm", self.server.precision)

    @property
    def backend(self) -> Backend:
        """See `LanguageModel`."""
        return Backend("vLLM on another machine")

    @property
    def max_positions(self) -> int:
        """See `LanguageModel`: what the model has, or less if the server has less."""
        own = int(self.files.config["max_position_embeddings"])
        return min(own, self.server.positions or own)

    @property
    def cache_memory(self) -> CacheMemory:
        """See `LanguageModel`; on the server."""
        return CacheMemory(self.runtime.precision)

    @property
    def num_parameters(self) -> int:
        """See `LanguageModel`."""
        from code_model.memory import weights_in

        return weights_in(self.files.weight_files).numbers

    @property
    def is_shared(self) -> bool:
        """See `LanguageModel`."""
        return True

    @property
    def device(self) -> str:
        """See `LanguageModel`."""
        return "gpu"

    @property
    def forms(self) -> Collection[Form]:
        """See `LanguageModel`."""
        return [form for form in get_args(Form) if self.refusal(form) is None]

    def refusal(self, form: Form) -> str | None:
        """See `LanguageModel`."""
        if form == "kv-nope":
            return NO_POSITIONS
        if form == "kv" and not self.server.kv_prompts:
            return (
                "this team server has no KV connector of Attune; start it with the command that "
                "`attune team serve` writes, or tune one with --form embedding"
            )
        kind = self.files.config.get("model_type")
        if form == "embedding" and kind not in PLAIN_EMBEDDINGS:
            return (
                f"a {kind} may scale its embeddings, which Attune looks up itself; tune one with "
                "--form kv"
            )
        return None

    @property
    def vocabulary_size(self) -> int:
        """Ids that the server may answer with."""
        return int(self.files.config["vocab_size"])

    @property
    def served_name(self) -> str:
        """The name of the model in requests."""
        return served_name("model", self.identity.model_fingerprint)

    def beginning_of(self, prompt: PromptFile | None) -> Beginning:
        """What stands in front of every request."""
        if prompt is None:
            return TokenBeginning(tuple(self.encoder.beginning_ids))
        if prompt.manifest.form == "kv":
            count = prompt.manifest.num_virtual_tokens
            sha256 = prompt.sha256 or hashlib.sha256(encode_prompt(prompt)).hexdigest()
            ids = placeholder_ids(sha256, count, self.vocabulary_size)
            return PlaceholderBeginning(sha256, tuple(ids))
        rows = torch.from_numpy(prompt.embeddings)
        dtype: torch.dtype = getattr(torch, self.server.precision)
        return EmbeddingBeginning(rows, self.embeddings, dtype)

    def open(self, prompt: PromptFile | None = None) -> VllmSession:
        """See `LanguageModel`."""
        return VllmSession(self, prompt)

    def prepare(self) -> None:
        """Nothing is compiled."""

    @cached_property
    def embeddings(self) -> EmbeddingTable:
        """The model's input embeddings. Raises `ModelLoadError`."""
        return EmbeddingTable(self.files.weight_files, self.identity.hidden_size)
