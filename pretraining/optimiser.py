"""Muon for the hidden matrices, AdamW for embeddings and norms."""

import torch
from torch import nn


def build(
    model: nn.Module, muon_lr: float, adam_lr: float, decay: float
) -> list[torch.optim.Optimizer]:
    """Both optimisers; `peak` of each parameter group holds its peak learning rate."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (matrices if parameter.ndim == 2 and "embed" not in name else others).append(parameter)
    optimisers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(matrices, lr=muon_lr, weight_decay=decay),
        torch.optim.AdamW(others, lr=adam_lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["peak"] = group["lr"]
    return optimisers
