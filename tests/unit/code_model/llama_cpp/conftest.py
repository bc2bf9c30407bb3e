"""Tiny random models as GGUF files, beside the decoder that computes the same weights."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from benchmarks.gguf_export import export_gguf
from code_model.decoder.llama import Llama, LlamaConfig
from code_model.decoder.model import DecoderModel
from code_model.gguf_source import GgufSource, record_dequantised
from code_model.language_model import Runtime
from code_model.llama_cpp.loading import load_llama_cpp
from code_model.llama_cpp.model import LlamaCppModel
from code_model.loading import load_tunable_model
from code_model.model_folder import read_model_folder
from pretraining import export

pytest.importorskip("llama_cpp")


@dataclass(frozen=True)
class Pair:
    """The same weights in our decoder and in llama.cpp."""

    decoder: DecoderModel
    llama_cpp: LlamaCppModel
    tolerance: float
    """Of nats: what the precision of llama.cpp's cache costs."""


@pytest.fixture(scope="session", params=["llama float32", "llama float16", "qwen2 float32"])
def pair(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Pair:
    family, precision = request.param.split()
    full = precision == "float32"
    parent = tmp_path_factory.mktemp("gguf")
    folder = make_gguf_folder(family, tiny_model, parent, full=full)
    decoder = load_tunable_model(folder)
    assert isinstance(decoder, DecoderModel)
    model = load_llama_cpp(read_model_folder(folder))
    assert model.runtime == Runtime("llama.cpp", precision)
    # threads would only wait for each other in so small a model
    return Pair(decoder, replace(model, threads=1), 1e-4 if full else 0.03)


def make_gguf_folder(family: str, tiny_model: Path, parent: Path, *, full: bool = True) -> Path:
    """A model folder with weights and with a GGUF file of the same weights."""
    config = LlamaConfig(
        vocab_size=json.loads((tiny_model / "config.json").read_text())["vocab_size"],
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=512,
        attention_bias=family == "qwen2",
    )
    llama = Llama(config)
    llama.init_weights(torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in llama.parameters():
            # as bfloat16 holds them, which is what is exported
            parameter.copy_((parameter * 4.0 + 0.01).bfloat16())
    folder = parent / "model"
    export.export(llama, tiny_model / "tokenizer.json", folder, name=f"tiny-{family}")
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_type": family}))
    export_gguf(llama, folder / "model.gguf", full=full)
    weights = read_model_folder(folder).weights_sha256
    source = GgufSource.of(folder / "model.gguf")
    entry = source.to_json() | {"path": "model.gguf"}
    description = folder / "attune.json"
    description.write_text(json.dumps(json.loads(description.read_text()) | {"gguf": entry}))
    record_dequantised(folder, source, weights)
    return folder
