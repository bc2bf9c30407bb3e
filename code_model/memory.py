"""What a model takes of memory: its weights, and the keys and values of its tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import psutil
from safetensors import SafetensorError, safe_open

from code_model.language_model import ModelLoadError, NotEnoughMemoryError

BYTES: Final[Mapping[str, float]] = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1,
    "F8_E4M3": 1, "F8_E5M2": 1, "BOOL": 1,
    "float32": 4, "float16": 2, "bfloat16": 2, "int8": 1, "int4": 0.5,
}  # fmt: skip
"""Bytes of one number, by safetensors' names and torch's."""

RESERVE: Final = 256 << 20
"""Bytes that are left for everything else when a model is loaded into the main memory."""


@dataclass(frozen=True)
class Weights:
    """The tensors of a model's files: how many numbers, and how many bytes they take there."""

    numbers: int
    stored_bytes: int


def weights_in(files: Sequence[Path]) -> Weights:
    """Read the headers of safetensors files; of other files only the size is known.

    Raises `ModelLoadError` if a file is missing or truncated.
    """
    numbers = stored = 0
    for file in files:
        try:
            if file.suffix != ".safetensors":
                stored += file.stat().st_size
                continue
            with safe_open(file, framework="numpy") as opened:
                for name in opened.keys():  # noqa: SIM118 (not a mapping)
                    tensor = opened.get_slice(name)
                    count = prod(tensor.get_shape())
                    numbers += count
                    stored += int(count * BYTES.get(tensor.get_dtype(), 4))
        except (OSError, SafetensorError) as error:
            raise ModelLoadError(
                f"{file} is missing or truncated; get the model's files again."
            ) from error
    return Weights(numbers, stored)


def kv_bytes_per_token(config: Mapping[str, Any], bytes_per_number: float) -> int | None:
    """Bytes that one token's keys and values take in all layers, by a `config.json`.

    None where the attention keeps something else, as multi-head latent attention does. A soft
    prompt takes as much for each virtual token.
    """
    config = config.get("text_config") or config
    try:
        layers = int(config["num_hidden_layers"])
        heads = int(config["num_attention_heads"])
        kv_heads = int(config.get("num_key_value_heads") or heads)
        head_dim = int(config.get("head_dim") or int(config["hidden_size"]) // heads)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if config.get("kv_lora_rank"):
        return None
    return int(2 * layers * kv_heads * head_dim * bytes_per_number)


def free_bytes() -> int:
    """Main memory that can be taken without swapping."""
    return int(psutil.virtual_memory().available)


def free_gpu_bytes() -> int | None:
    """Memory that is free on the CUDA device that torch takes first, None without one."""
    import torch

    return int(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else None


def check_fits(name: str, needed: int, advice: str) -> None:
    """Refuse a model before it is loaded into a main memory that is too small.

    Raises `NotEnoughMemoryError`; `advice` says what else to choose.
    """
    free = free_bytes()
    if needed + RESERVE > free:
        raise NotEnoughMemoryError(
            f"{name} needs {gigabytes(needed)} of memory and {gigabytes(free)} are free; {advice}."
        )


def gigabytes(count: float) -> str:
    """Bytes for people, in units of 10⁹ or 10⁶."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"
