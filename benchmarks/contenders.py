"""Ways to compute the same greedy continuation, each as its project means it to be used."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch

from code_model.decoder.model import DecoderModel
from code_model.decoder.session import DecoderSession


class Contender(Protocol):
    """Continues ids greedily, without stopping at any token."""

    name: str

    def generate(self, ids: Sequence[int], new_tokens: int) -> list[int]:
        """The next `new_tokens` ids behind the beginning-of-sequence token and `ids`."""


class Attune:
    """This project's engine; `native` by its compiled step, `speculate` with drafts."""

    def __init__(self, name: str, engine: DecoderSession) -> None:
        self.name = name
        self.engine = engine
        self.steps = 0
        self.prefilled = 0

    def generate(self, ids: Sequence[int], new_tokens: int) -> list[int]:
        """See `Contender`."""
        answer = self.engine.generate(ids, max_new_tokens=new_tokens)
        self.steps, self.prefilled = answer.steps, answer.prefilled
        return list(answer.ids)


class PeftGenerate:
    """PEFT prompt tuning whose one virtual token is the beginning-of-sequence token's embedding."""

    name = "PEFT generate"

    def __init__(self, model: Any, beginning: int) -> None:
        from peft import PromptTuningConfig, TaskType, get_peft_model

        config = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=1)
        embedding = model.get_input_embeddings().weight[beginning].detach().clone()
        self._model = get_peft_model(model, config).eval()
        with torch.no_grad():
            self._model.prompt_encoder["default"].embedding.weight[0] = embedding

    @torch.inference_mode()
    def generate(self, ids: Sequence[int], new_tokens: int) -> list[int]:
        """See `Contender`."""
        given = torch.tensor([list(ids)])
        said = self._model.generate(
            input_ids=given,
            attention_mask=torch.ones_like(given),
            max_new_tokens=new_tokens,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        return list(said[0, len(ids) :].tolist())


class TransformersGenerate:
    """`generate` of transformers, which computes the whole prompt at every call."""

    name = "transformers generate"

    def __init__(self, model: Any, beginning: Sequence[int]) -> None:
        self._model = model
        self._beginning = list(beginning)

    @torch.inference_mode()
    def generate(self, ids: Sequence[int], new_tokens: int) -> list[int]:
        """See `Contender`."""
        given = torch.tensor([[*self._beginning, *ids]])
        said = self._model.generate(
            given,
            attention_mask=torch.ones_like(given),
            max_new_tokens=new_tokens,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        return list(said[0, given.shape[1] :].tolist())


class TransformersForward:
    """A loop of forward passes of transformers whose cache is cut to the common beginning."""

    name = "transformers forward, kept KV"

    def __init__(self, model: Any, beginning: Sequence[int]) -> None:
        from transformers import DynamicCache

        self._model = model
        self._beginning = list(beginning)
        self._cache = DynamicCache()
        self._cached: list[int] = []

    @torch.inference_mode()
    def generate(self, ids: Sequence[int], new_tokens: int) -> list[int]:
        """See `Contender`."""
        wanted = [*self._beginning, *ids]
        pairs = enumerate(zip(self._cached, wanted[:-1], strict=False))
        common = next((n for n, (a, b) in pairs if a != b), min(len(self._cached), len(wanted) - 1))
        if len(self._cached) > common:
            self._cache.crop(common - len(self._cached))
        pending, said = wanted[common:], list[int]()
        self._cached = wanted[:common]
        while True:
            out = self._model(
                torch.tensor([pending]), past_key_values=self._cache, use_cache=True,
                logits_to_keep=1,
            )  # fmt: skip
            self._cached += pending
            said.append(int(out.logits[0, -1].argmax()))
            if len(said) == new_tokens:
                return said
            pending = said[-1:]


class LlamaCpp:
    """llama.cpp through llama-cpp-python, which keeps the KV of the common beginning itself."""

    name = "llama.cpp, kept KV"

    def __init__(self, file: Path, beginning: Sequence[int], threads: int) -> None:
        from llama_cpp import Llama

        self._beginning = list(beginning)
        self._model = Llama(
            str(file), n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False
        )

    def generate(self, ids: Sequence[int], new_tokens: int) -> list[int]:
        """See `Contender`."""
        tokens = [*self._beginning, *ids]
        return list(islice(self._model.generate(tokens, temp=0.0, top_k=1), new_tokens))


def transformers_model(base: DecoderModel) -> Any:
    """The same weights in transformers, float32."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32).eval()
