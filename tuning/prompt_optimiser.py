"""One optimiser step of a soft prompt, and the average of its offsets."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from code_model.language_model import TunableModel
from tuning.config import TuningConfig
from tuning.distributed import ProcessGroup
from tuning.examples import Example
from tuning.objective import step_gradient
from tuning.soft_prompt import SoftPrompt

MIN_RATE = 1e-3  # of the peak, so that the first and the last step do something


class Examples(Protocol):
    """Examples by number, without end."""

    def __getitem__(self, number: int) -> Example:
        """The example of that number."""


def rate(fraction: float, warmup: float) -> float:
    """Share of the peak learning rate: linear up during `warmup`, then linear down to zero.

    `fraction` is the share of the run that is done (0 to 1).
    """
    return min(1.0, fraction / warmup if warmup else 1.0, (1.0 - fraction) / (1.0 - warmup))


class PromptOptimiser:
    """AdamW on the offsets of a soft prompt; the model stays as it is."""

    def __init__(
        self,
        model: TunableModel,
        prompt: SoftPrompt,
        examples: Examples,
        config: TuningConfig,
        group: ProcessGroup,
    ) -> None:
        self._model, self._prompt, self._examples = model, prompt, examples
        self._config, self._group = config, group
        self._adamw = torch.optim.AdamW(
            prompt.parameters(),
            lr=config.learning_rate,
            betas=(0.9, 0.95),
            weight_decay=config.weight_decay,
        )
        self._mean = prompt.delta.detach().clone()

    def step(self, step: int, fraction: float) -> float:
        """Update number `step` (from 0); returns the loss in nats per weight.

        A scored token has the weight 1. The processes of the group share the examples.
        """
        config, group, delta = self._config, self._group, self._prompt.delta
        first = step * config.examples_per_step
        numbers = range(first, first + config.examples_per_step)
        examples = [self._examples[n] for n in numbers if n % group.size == group.rank]
        loss, weight, gradient = step_gradient(self._model, self._prompt, examples, config)
        sums, gradient = group.all_reduce(torch.tensor([loss, weight])), group.all_reduce(gradient)
        delta.grad = gradient / sums[1]
        torch.nn.utils.clip_grad_norm_([delta], config.max_grad_norm)
        share = max(rate(fraction, config.warmup), MIN_RATE)
        for parameters in self._adamw.param_groups:
            parameters["lr"] = config.learning_rate * share
        self._adamw.step()
        self._mean.lerp_(delta.detach(), 1 - (step / (step + 1)) ** (config.ema_power + 1))
        return float(sums[0] / sums[1])

    def averaged_embeddings(self) -> Tensor:
        """The prompt embeddings (P, width) that would be written now.

        A power-function moving average of the offsets (Karras et al. 2024, arXiv 2312.02696), whose
        memory grows with the run, so that it suits every time budget; then interpolated with the
        start (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903), because all of the way does harm in
        code that is unlike the code to tune on.
        """
        with torch.no_grad():
            return self._prompt.prompt_embeddings(self._config.wise_ft_alpha * self._mean)

    def state_tensors(self) -> dict[str, Tensor]:
        """What `load_state_tensors` needs to continue; there was at least one step."""
        moments = self._adamw.state[self._prompt.delta]
        return {
            "delta": self._prompt.delta.detach(),
            "exp_avg": moments["exp_avg"],
            "exp_avg_sq": moments["exp_avg_sq"],
            "mean": self._mean,
        }

    def load_state_tensors(self, tensors: Mapping[str, Tensor], steps: int) -> None:
        """Continue after `steps` steps."""
        with torch.no_grad():
            self._prompt.delta.copy_(tensors["delta"])
            self._mean.copy_(tensors["mean"])
        self._adamw.state[self._prompt.delta] = {
            "step": torch.tensor(float(steps)),
            "exp_avg": tensors["exp_avg"],
            "exp_avg_sq": tensors["exp_avg_sq"],
        }
