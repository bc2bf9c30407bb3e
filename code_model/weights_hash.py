"""A fingerprint of a module's weights, to see that they stay frozen."""

import hashlib

import torch
from torch import nn


def weights_hash(module: nn.Module) -> str:
    """SHA-256 of all weights, in float32 where they are floating-point numbers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        if not isinstance(tensor, torch.Tensor):  # what a quantised layer notes about itself
            digest.update(repr(tensor).encode())
            continue
        tensor = tensor.detach()
        full = tensor.float() if tensor.is_floating_point() else tensor
        digest.update(full.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
