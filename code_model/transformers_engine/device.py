"""The device and the precision that a model is computed with."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

from code_model.bfloat16 import bfloat16_wins
from code_model.language_model import ModelLoadError
from code_model.out_of_memory import OutOfModelMemoryError, is_out_of_memory

PRECISIONS: Final = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def choose_device(wanted: str | None) -> torch.device:
    """`wanted`, else the best that this machine has: CUDA, then Apple's MPS, then the CPU.

    Raises `ModelLoadError` if the wanted one does not exist here.
    """
    if wanted is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelLoadError(
            f"There is no device {wanted!r} on this machine; choose cuda, mps or cpu."
        ) from error
    return device


def choose_precision(wanted: str | None, device: torch.device) -> torch.dtype:
    """`wanted`, else 16 bits where they are fast, else float32.

    bfloat16 has float32's range; float16 serves where there is no bfloat16. Raises
    `ModelLoadError` for an unknown name.
    """
    if wanted is not None:
        dtype = PRECISIONS.get(wanted)
        if dtype is None:
            raise ModelLoadError(
                f"There is no precision {wanted!r}; choose one of {', '.join(PRECISIONS)}."
            )
        return dtype
    if device.type == "cpu":
        return torch.bfloat16 if bfloat16_wins() else torch.float32
    return torch.bfloat16 if _has_bfloat16(device) else torch.float16


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        torch.ones(1, device=device, dtype=torch.bfloat16).add(1)
    except (RuntimeError, TypeError):
        return False
    return True


@contextmanager
def memory_of(name: str, device: torch.device) -> Iterator[None]:
    """Raise `OutOfModelMemoryError` where there is no memory left to compute the model `name`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        _free_memory(device)
        raise OutOfModelMemoryError(
            f"{name} ran out of memory on the device {device.type}; close other programs that use "
            "it, or choose a smaller model, a quantisation or the device cpu."
        ) from None


def _free_memory(device: torch.device) -> None:
    """Give cached blocks back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
