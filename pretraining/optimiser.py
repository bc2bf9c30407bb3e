"""Muon for the hidden matrices and AdamW for the rest, or AdamW for all."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def build(model: nn.Module, settings: Mapping[str, Any]) -> list[torch.optim.Optimizer]:
    """The optimisers; `peak` of each parameter group holds its peak learning rate.

    Without `muon_lr`, AdamW trains the matrices too: what AdamW has trained gains nothing from
    going on with Muon (arXiv 2502.16982, section 3.5).
    """
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (matrices if parameter.ndim == 2 and "embed" not in name else others).append(parameter)
    adam_lr, decay = settings["adam_lr"], settings["weight_decay"]
    groups: list[dict[str, Any]] = [{"params": others, "weight_decay": 0.0}]
    optimisers: list[torch.optim.Optimizer] = []
    if "muon_lr" in settings:
        muon = torch.optim.Muon(matrices, lr=settings["muon_lr"], weight_decay=decay)
        optimisers.append(muon)
    else:
        groups.append({"params": matrices, "weight_decay": decay})
    optimisers.append(torch.optim.AdamW(groups, lr=adam_lr, betas=(0.9, 0.95), fused=True))
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["peak"] = group["lr"]
    return optimisers
