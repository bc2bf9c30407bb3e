"""What a model takes of memory, and the refusal of one that is too large."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from code_model import memory
from code_model.language_model import ModelLoadError
from code_model.loading import load_model
from code_model.memory import kv_bytes_per_token, weights_in
from code_model.model_folder import read_json


def test_weights_are_counted_without_loading_them(tiny_model: Path) -> None:
    file = tiny_model / "model.safetensors"
    tensors = load_file(file).values()
    weights = weights_in([file])
    assert weights.numbers == sum(tensor.numel() for tensor in tensors)
    assert weights.stored_bytes == sum(tensor.nbytes for tensor in tensors)


def test_keys_and_values_of_a_token(tiny_model: Path) -> None:
    config = read_json(tiny_model / "config.json")  # 2 layers, 2 KV heads of 8 channels
    assert kv_bytes_per_token(config, 4) == 2 * 2 * 2 * 8 * 4
    assert kv_bytes_per_token(config | {"kv_lora_rank": 4}, 4) is None
    assert kv_bytes_per_token({}, 4) is None


def test_the_gpus_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert memory.free_gpu_bytes() is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (3, 5))
    assert memory.free_gpu_bytes() == 3


def test_a_model_that_does_not_fit_is_not_loaded(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: memory.RESERVE + 1000)
    with pytest.raises(ModelLoadError, match=r"tiny needs 0 MB of memory and 0.3 GB are free"):
        load_model(tiny_model)
