"""Models of this decoder in bfloat16."""

import torch

from code_model.decoder.llama import Llama


def in_bfloat16(model: Llama) -> Llama:
    """A copy with its matrices in bfloat16, so that autocast need not convert them at each use.

    It must run under `autocast_of`, which leaves the rest in float32.
    """
    low = Llama(model.config)
    values = model.state_dict().items()
    low.load_state_dict(
        {name: tensor.bfloat16() if tensor.ndim == 2 else tensor for name, tensor in values},
        assign=True,
    )
    return low.requires_grad_(False).eval()


def autocast_of(model: Llama) -> torch.autocast:
    """The autocast context for a model: enabled only for one of `in_bfloat16`."""
    low = model.model.embed_tokens.weight.dtype == torch.bfloat16
    return torch.autocast("cpu", torch.bfloat16, enabled=low)
