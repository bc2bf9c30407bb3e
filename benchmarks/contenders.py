"""Engines that compute the same greedy continuation, each used as its project intends."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch

from code_model.decoder.session import DecoderSession
from code_model.full_weights_folder import full_weights_folder
from code_model.language_model import LanguageModel
from code_model.model_folder import read_model_folder


class Contender(Protocol):
    """Continues ids greedily and does not stop at end tokens."""

    name: str

    def generate(self, ids: Sequence[int], new_tokens: int) -> list[int]:
        """The next `new_tokens` ids after the beginning-of-sequence token and `ids`."""


class Attune:
    """This project's decoder; the session decides whether it drafts and runs compiled."""

    def __init__(self, name: str, session: DecoderSession) -> None:
        self.name = name
        self._session = session

    def generate(self, ids: Sequence[int], new_tokens: int) -> list[int]:
        """See `Contender`."""
        return list(self._session.generate(ids, max_new_tokens=new_tokens).ids)


class PeftGenerate:
    """PEFT prompt tuning whose one virtual token is the beginning-of-sequence token's embedding."""

    name = "PEFT generate"

    def __init__(self, model: Any, beginning_id: int) -> None:
        from peft import PromptTuningConfig, TaskType, get_peft_model

        config = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=1)
        embedding = model.get_input_embeddings().weight[beginning_id].detach().clone()
        self._model = get_peft_model(model, config).eval()
        with torch.no_grad():
            encoder: Any = self._model.prompt_encoder["default"]
            encoder.embedding.weight[0] = embedding

    def generate(self, ids: Sequence[int], new_tokens: int) -> list[int]:
        """See `Contender`."""
        return _generate(self._model, ids, new_tokens)


class TransformersGenerate:
    """`generate` of transformers, which computes the whole input at every call."""

    name = "transformers generate"

    def __init__(self, model: Any, beginning_ids: Sequence[int]) -> None:
        self._model = model
        self._beginning_ids = list(beginning_ids)

    def generate(self, ids: Sequence[int], new_tokens: int) -> list[int]:
        """See `Contender`."""
        return _generate(self._model, [*self._beginning_ids, *ids], new_tokens)


@torch.inference_mode()
def _generate(model: Any, ids: Sequence[int], new_tokens: int) -> list[int]:
    input_ids = torch.tensor([list(ids)])
    output = model.generate(
        input_ids=input_ids,
        attention_mask=torch.ones_like(input_ids),
        max_new_tokens=new_tokens,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    return list(output[0, len(ids) :].tolist())


class TransformersForward:
    """Forward passes of transformers in a loop; the cache is cropped to the common beginning."""

    name = "transformers forward, kept KV"

    def __init__(self, model: Any, beginning_ids: Sequence[int]) -> None:
        from transformers import DynamicCache

        self._model = model
        self._beginning_ids = list(beginning_ids)
        self._cache = DynamicCache()
        self._cached_ids: list[int] = []

    @torch.inference_mode()
    def generate(self, ids: Sequence[int], new_tokens: int) -> list[int]:
        """See `Contender`."""
        wanted = [*self._beginning_ids, *ids]
        pairs = enumerate(zip(self._cached_ids, wanted[:-1], strict=False))
        shorter = min(len(self._cached_ids), len(wanted) - 1)
        common = next((n for n, (a, b) in pairs if a != b), shorter)
        if len(self._cached_ids) > common:
            self._cache.crop(common - len(self._cached_ids))
        pending, new = wanted[common:], list[int]()
        self._cached_ids = wanted[:common]
        while True:
            output = self._model(
                torch.tensor([pending]), past_key_values=self._cache, use_cache=True,
                logits_to_keep=1,
            )  # fmt: skip
            self._cached_ids += pending
            new.append(int(output.logits[0, -1].argmax()))
            if len(new) == new_tokens:
                return new
            pending = new[-1:]


def llama_cpp_quantised(file: Path, name: str) -> Path:
    """llama.cpp's own quantisation of a GGUF file of float16, beside it; "Q8_0" or "Q4_0"."""
    import llama_cpp

    made = file.with_name(f"{file.stem}-{name}.gguf")
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{name}")
    failed = llama_cpp.llama_model_quantize(bytes(file), bytes(made), parameters)
    if failed:
        raise SystemExit(f"llama.cpp cannot quantise {file.name} to {name}.")
    return made


class LlamaCpp:
    """llama.cpp through llama-cpp-python, which keeps the KV of the common beginning itself."""

    def __init__(
        self, file: Path, beginning_ids: Sequence[int], threads: int, name: str = "float16"
    ) -> None:
        from llama_cpp import Llama

        self.name = f"llama.cpp {name}, kept KV"
        self._beginning_ids = list(beginning_ids)
        self._model = Llama(
            str(file), n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False
        )

    def generate(self, ids: Sequence[int], new_tokens: int) -> list[int]:
        """See `Contender`."""
        tokens = [*self._beginning_ids, *ids]
        return list(islice(self._model.generate(tokens, temp=0.0, top_k=1), new_tokens))


def transformers_model(model: LanguageModel) -> Any:
    """The same weights in transformers, float32."""
    from transformers import AutoModelForCausalLM

    folder = full_weights_folder(read_model_folder(model.folder))
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
