"""LoRA baseline: PEFT in a plain training loop, with the prompt's examples and wall time.

Needs the extra `lora` (transformers, peft), which is imported only here. The adapters are merged
into a copy of the weights, so the same code measures the result and a prompt.
"""

import time
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from code_model.language_model import TunableModel
from tuning.config import TuningConfig
from tuning.corpus import CorpusError
from tuning.examples import Example
from tuning.prompt_optimiser import Examples, rate

RANK, ALPHA = 8, 16
LEARNING_RATE = 2e-3


def tune_lora(
    model: TunableModel,
    examples: Examples,
    config: TuningConfig,
    *,
    learning_rate: float = LEARNING_RATE,
) -> TunableModel:
    """A copy of the model, tuned by LoRA of rank 8 on every linear layer.

    Uses the data and schedule of the recipe; stops after `config.steps` if set, else after
    `config.minutes`. Raises `CorpusError` if PEFT is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise CorpusError(
            "Comparing with LoRA needs transformers and peft; install attune[lora]."
        ) from error
    torch.manual_seed(config.seed)
    adapters = LoraConfig(
        r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    tuned: Any = get_peft_model(weights_of(model), adapters)
    train_weights(tuned, model, examples, config, learning_rate)
    return model.with_weights(tuned.merge_and_unload().state_dict())


def weights_of(model: TunableModel) -> Any:
    """The transformers module of a model, in float32."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        model.folder, dtype=torch.float32, use_safetensors=True, local_files_only=True,
        trust_remote_code=False,
    )  # fmt: skip


def train_weights(
    weights: Any,
    model: TunableModel,
    examples: Examples,
    config: TuningConfig,
    learning_rate: float,
) -> None:
    """Train what requires a gradient in `weights`, the transformers module of `model`."""
    trained = [parameter for parameter in weights.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.0)
    started, step, fraction = time.monotonic(), 0, 0.0
    while fraction < 1.0:
        first = step * config.examples_per_step
        batch = [examples[first + n] for n in range(config.examples_per_step)]
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * max(rate(fraction, config.warmup), 1e-3)
        with torch.autocast("cpu", torch.bfloat16, enabled=model.prefers_bfloat16()):
            loss = padded_loss(weights, batch, config, model.encoder.beginning_ids)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, config.max_grad_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        step += 1
        elapsed = (time.monotonic() - started) / (60.0 * config.minutes)
        fraction = elapsed if config.steps is None else step / config.steps


def padded_loss(
    model: Any, examples: list[Example], config: TuningConfig, front: list[int]
) -> torch.Tensor:
    """Weighted mean cross-entropy (nats) of a padded batch; `front` precedes each example."""
    rows = [torch.tensor([*front, *example.ids]) for example in examples]
    ids = pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    positions = torch.arange(ids.shape[1])[None, :]
    is_token = positions < lengths[:, None]
    scored = torch.tensor([example.scored for example in examples])
    in_middle = positions >= (lengths - scored)[:, None]
    weights = torch.where(in_middle, 1.0, config.context_weight) * is_token
    weights[:, : len(front) + 1] = 0.0  # the first token is not predicted, as with a prompt
    logits = model(input_ids=ids, attention_mask=is_token.long()).logits
    nats = F.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
    return (nats * weights[:, 1:]).sum() / weights[:, 1:].sum()
