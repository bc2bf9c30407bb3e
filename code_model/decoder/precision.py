"""Copies of models of this decoder in bfloat16 and, of quantised ones, in float32."""

import torch

from code_model.decoder.llama import Llama
from code_model.decoder.quantised import dense_state


def in_bfloat16(model: Llama) -> Llama:
    """A copy with its matrices in bfloat16, so that autocast need not convert them at each use.

    It must run under `autocast_of`, which leaves the rest in float32.
    """
    low = Llama(model.config)
    values = dense_state(model).items()
    low.load_state_dict(
        {name: tensor.bfloat16() if tensor.ndim == 2 else tensor for name, tensor in values},
        assign=True,
    )
    return low.requires_grad_(False).eval()


def dense(model: Llama) -> Llama:
    """A copy of a quantised model with the rounded weights as floats."""
    full = Llama(model.config)
    full.load_state_dict(dense_state(model), assign=True)
    return full.requires_grad_(False).eval()


def autocast_of(model: Llama) -> torch.autocast:
    """The autocast context for a model: enabled only for one of `in_bfloat16`."""
    return torch.autocast("cpu", torch.bfloat16, enabled=model.dtype == torch.bfloat16)
