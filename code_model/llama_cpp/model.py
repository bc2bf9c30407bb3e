"""`LlamaCppModel`: a GGUF file computed by llama.cpp, as a `LanguageModel`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from code_model.fim import FimEncoder
from code_model.language_model import Backend, CacheMemory, Runtime
from code_model.llama_cpp.context import Context
from code_model.llama_cpp.sequence_state import EXACT, SMALL, CacheFormat
from code_model.llama_cpp.session import LlamaCppSession
from code_model.llama_cpp.soft_prompt import INTERLEAVED, KVShape
from code_model.llama_cpp.verification import PREFIX_TOKENS, kv_refusal
from code_model.llama_cpp_library import Weights
from code_model.show_thresholds import ShowThresholds
from code_model.tokenizer import Tokenizer
from prompts.file import PromptFile
from prompts.form import Form
from prompts.manifest import ModelIdentity

ALL_F32 = 0  # enum llama_ftype
NO_POSITIONS = (
    "llama.cpp rotates every query and key, so virtual keys without positions would count "
    "otherwise than they were tuned; tune one with --form kv"
)


@dataclass(frozen=True, eq=False)
class LlamaCppModel:
    """A frozen model. Its sessions share the weights and have a cache each.

    Reason for its size: each attribute is one of the protocol's.
    """

    name: str
    folder: Path
    weights: Weights
    identity: ModelIdentity
    tokenizer: Tokenizer
    encoder: FimEncoder
    show_thresholds: ShowThresholds
    max_positions: int
    threads: int
    architecture: str = field(default="llama")

    @property
    def runtime(self) -> Runtime:
        """See `LanguageModel`: the precision of keys and values, and the GGUF's own name of its
        quantisation, if it has one."""
        precision = self.cache_format.dtype.name
        name = self._file_type
        full = name in {"all F32", "F16", "BF16"}
        return Runtime("llama.cpp", precision, None if full else name)

    @property
    def backend(self) -> Backend:
        """See `LanguageModel`."""
        return Backend("llama.cpp")

    @property
    def is_shared(self) -> bool:
        """See `LanguageModel`."""
        return False

    @property
    def cache_memory(self) -> CacheMemory:
        """See `LanguageModel`."""
        return CacheMemory(self.cache_format.dtype.name, self.max_positions)

    @property
    def num_parameters(self) -> int:
        """See `LanguageModel`."""
        return int(self.weights.api.llama_model_n_params(self.weights.pointer))

    @property
    def forms(self) -> Collection[Form]:
        """See `LanguageModel`."""
        return [form for form in ("kv", "embedding") if form not in self.refusals]

    def refusal(self, form: Form) -> str | None:
        """See `LanguageModel`."""
        return self.refusals.get(form)

    @property
    def device(self) -> str:
        """See `LanguageModel`."""
        return "gpu" if self.weights.api.llama_supports_gpu_offload() else "cpu"

    @cached_property
    def refusals(self) -> Mapping[Form, str]:
        """Why it cannot serve a form, as the rest of a sentence."""
        if self.architecture not in INTERLEAVED:
            known = ", ".join(sorted(INTERLEAVED))
            why = (
                f"soft prompts in llama.cpp were verified for the architectures {known}, and this "
                f"model is a {self.architecture}; serve it with the engine transformers"
            )
            return {"kv-nope": why, "kv": why, "embedding": why}
        refusals: dict[Form, str] = {"kv-nope": NO_POSITIONS}
        context = Context(self.weights, 16 * PREFIX_TOKENS, self.threads, self.cache_format)
        if why_not := kv_refusal(context, self.kv_shape):
            refusals["kv"] = why_not
        return refusals

    @property
    def kv_shape(self) -> KVShape:
        """Of the cache; only for architectures whose prompts it can serve."""
        return KVShape.of(self.identity, self.architecture)

    @property
    def cache_format(self) -> CacheFormat:
        """Of keys and values: float16, but float32 for float32 weights."""
        weights = self.weights
        return EXACT if weights.api.llama_model_ftype(weights.pointer) == ALL_F32 else SMALL

    def new_context(self) -> Context:
        """An empty cache of its own. Raises `code_model.llama_cpp.context.DecodeError`."""
        return Context(self.weights, self.max_positions, self.threads, self.cache_format)

    def open(self, prompt: PromptFile | None = None) -> LlamaCppSession:
        """See `LanguageModel`."""
        return LlamaCppSession(self, prompt)

    def prepare(self) -> None:
        """Nothing is left to prepare."""

    @property
    def _file_type(self) -> str:
        api = self.weights.api
        name: bytes = api.llama_ftype_name(api.llama_model_ftype(self.weights.pointer))
        return name.decode()
