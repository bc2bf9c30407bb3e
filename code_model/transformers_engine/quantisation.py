"""Weights in 8 or 4 bits, by bitsandbytes, which transformers integrates.

Chosen by measurement on the CPU, 2048 · 2048 weights and one token: int4 takes half the time of
float32 and int8 three quarters, torchao 0.18 three to thirteen times as long (it has no 4-bit
kernels there), and optimum-quanto is no longer maintained.
"""

from importlib.util import find_spec
from typing import Any, Final

import torch

from code_model.language_model import ModelLoadError

SCHEMES: Final = {
    "int8": "LLM.int8() of arXiv 2208.07339",
    "int4": "4-bit NormalFloat of arXiv 2305.14314",
}


def check_scheme(name: str) -> None:
    """Raise `ModelLoadError` for an unknown scheme."""
    if name not in SCHEMES:
        raise ModelLoadError(
            f"There is no quantisation {name!r}; choose one of {', '.join(SCHEMES)}."
        )


def quantisation_config(name: str, dtype: torch.dtype) -> Any:
    """transformers' config for a scheme; `dtype` is that of the products.

    Raises `ModelLoadError` for an unknown scheme, or without bitsandbytes.
    """
    check_scheme(name)
    if find_spec("bitsandbytes") is None or find_spec("accelerate") is None:
        raise ModelLoadError(
            "Quantising needs bitsandbytes; install it with `pip install 'attune[quantised]'`."
        )
    from transformers import BitsAndBytesConfig

    if name == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
    )
