"""Soft prompts as a resident key/value prefix, in all forms.

Rows are PEFT's layout (PREFIX_TUNING, CARTRIDGE): (P, 2·L·G·D), of each virtual token layer 0's
keys of all heads, layer 0's values, layer 1's keys, … In the form kv, keys are already rotated for
the positions 0..P-1, as in PEFT; in the form kv-nope they have no positions
(`code_model.decoder.llama.PrefixKV`). The engine's layout is (L, 2, G, P, D).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from code_context import context_parameters
from code_context.context import ContextConfig
from code_context.context_parameters import ContextParametersError
from code_model.decoder.forward import TorchForward
from code_model.decoder.llama import KVCache, Llama, LlamaConfig, PrefixKV
from code_model.loading import BaseModel
from prompts.errors import IncompatiblePrompt
from prompts.file import PromptFile, check_compatible
from prompts.manifest import Manifest


def rows_to_kv(rows: Tensor, config: LlamaConfig) -> Tensor:
    """(P, 2·L·G·D) to (L, 2, G, P, D)."""
    shape = (-1, config.num_hidden_layers, 2, config.num_key_value_heads, config.head_dim)
    return rows.view(shape).permute(1, 2, 3, 0, 4)


def kv_to_rows(kv: Tensor) -> Tensor:
    """(L, 2, G, P, D) to (P, 2·L·G·D)."""
    return kv.permute(3, 0, 1, 2, 4).reshape(kv.shape[3], -1)


@torch.no_grad()
def kv_from_embeddings(model: Llama, embeddings: Tensor) -> Tensor:
    """Keys and values (L, 2, G, P, D) of input embeddings (P, d) at the positions 0..P-1."""
    cache = KVCache(model.config, max(1, len(embeddings)), torch.float32)
    if len(embeddings):
        TorchForward(model).hidden(embeddings, cache)
    kv = torch.stack((cache.keys, cache.values), dim=1)
    return kv[:, :, :, : len(embeddings)]


def kv_of_ids(model: Llama, ids: Sequence[int]) -> Tensor:
    """Keys and values (L, 2, G, P, D) of tokens at the positions 0..P-1."""
    return kv_from_embeddings(model, model.model.embed_tokens(torch.tensor(ids, dtype=torch.long)))


def prefix_kv(base: BaseModel, prompt: PromptFile | None) -> PrefixKV:
    """The prefix that stands before every request.

    Without a prompt it is the beginning-of-sequence token, or nothing if the layout has none. A
    prompt of any form takes that token's place.

    Raises `prompts.errors.IncompatiblePrompt` if the prompt was tuned for another model or with a
    context that this Attune cannot build, or takes more than half of this model's positions.
    """
    if prompt is None:
        return PrefixKV(kv_of_ids(base.model, base.encoder.beginning_ids))
    check_compatible(prompt.manifest, base.identity)
    context_of(prompt.manifest)
    positions = base.model.config.max_position_embeddings
    if prompt.manifest.num_virtual_tokens > positions // 2:
        raise IncompatiblePrompt(
            f"Prompt {prompt.manifest.name!r} takes {prompt.manifest.num_virtual_tokens} of the "
            f"{positions} positions of {base.name}, which leaves too few for code; "
            "tune a shorter one."
        )
    rows = torch.from_numpy(prompt.embeddings)
    if prompt.manifest.form == "embedding":
        return PrefixKV(kv_from_embeddings(base.model, rows))
    return PrefixKV(rows_to_kv(rows, base.model.config), positions=prompt.manifest.form == "kv")


def context_of(manifest: Manifest | None) -> ContextConfig:
    """The context that a prompt was tuned with, and so is to be served with; without one, the
    default.

    Raises `prompts.errors.IncompatiblePrompt` if this Attune cannot build it.
    """
    if manifest is None:
        return ContextConfig()
    try:
        return context_parameters.from_dict(manifest.context)
    except ContextParametersError as error:
        raise IncompatiblePrompt(
            f"Prompt {manifest.name!r} was tuned with a context that cannot be built here: "
            f"{error}; update Attune or tune it again."
        ) from None
