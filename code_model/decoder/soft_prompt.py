"""From the prompt embeddings of a file to the key/value prefix of the decoder, in all forms.

Prompt embeddings have PEFT's layout (`code_model.prompt_layout`). In the form kv, keys are already
rotated for the positions 0..P-1, as in PEFT; in the form kv-nope they have no positions
(`code_model.decoder.kv_cache.PrefixKV`). In the form embedding they are input embeddings (P, d).
The decoder's layout is (L, 2, G, P, D).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from code_model import prompt_layout
from code_model.compatibility import check_prompt
from code_model.decoder.kv_cache import PrefixKV
from code_model.decoder.llama import Attention, Llama, LlamaConfig
from code_model.prompt_layout import kv_to_rows as kv_to_rows
from prompts.file import PromptFile
from prompts.form import Form

if TYPE_CHECKING:
    from code_model.decoder.model import DecoderModel


def rows_to_kv(rows: Tensor, config: LlamaConfig) -> Tensor:
    """(P, 2·L·G·D) to (L, 2, G, P, D)."""
    return prompt_layout.rows_to_kv(
        rows, config.num_hidden_layers, config.num_key_value_heads, config.head_dim
    )


def kv_from_embeddings(model: Llama, embeddings: Tensor) -> Tensor:
    """Keys and values (L, 2, G, P, D) of input embeddings (P, d) at the positions 0..P-1.

    Differentiable in them.
    """
    config = model.config
    if not len(embeddings):
        shape = (config.num_hidden_layers, 2, config.num_key_value_heads, 0, config.head_dim)
        return embeddings.new_empty(shape)
    x = embeddings[None]
    cos, sin = model.cos[: x.shape[1]], model.sin[: x.shape[1]]
    layers = list[Tensor]()

    def attend(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        layers.append(torch.stack((k[0], v[0])))
        return attention.attend(q, k, v, None)

    for block in model.blocks:
        x = block(x, cos, sin, attend)
    return torch.stack(layers)


@torch.no_grad()
def kv_of_ids(model: Llama, ids: Sequence[int]) -> Tensor:
    """Keys and values (L, 2, G, P, D) of tokens at the positions 0..P-1."""
    return kv_from_embeddings(model, model.model.embed_tokens(torch.tensor(ids, dtype=torch.long)))


def prefix_of(model: Llama, prompt_embeddings: Tensor, form: Form) -> PrefixKV:
    """The prefix of prompt embeddings, differentiable in them."""
    if form == "embedding":
        return PrefixKV(kv_from_embeddings(model, prompt_embeddings))
    return PrefixKV(rows_to_kv(prompt_embeddings, model.config), positions=form == "kv")


@torch.no_grad()
def prefix_kv(model: "DecoderModel", prompt: PromptFile | None) -> PrefixKV:
    """The prefix in front of every request.

    Without a prompt it is the beginning-of-sequence token, or nothing if the template has none. A
    prompt of any form replaces that token.

    Raises `prompts.errors.IncompatiblePrompt` (`code_model.compatibility.check_prompt`).
    """
    if prompt is None:
        return PrefixKV(kv_of_ids(model.llama, model.encoder.beginning_ids))
    check_prompt(model, prompt)
    return prefix_of(model.llama, torch.from_numpy(prompt.embeddings), prompt.manifest.form)


@torch.no_grad()
def nearest_tokens(model: Llama, prompt_embeddings: Tensor, form: Form) -> list[int]:
    """The vocabulary's token nearest (Euclidean) to each virtual token.

    In the kv forms, by the values of the first layer, which have no position; embeddings directly.
    """
    vocabulary = model.model.embed_tokens.weight.float()  # all of it, at this moment only
    if form != "embedding":
        block = model.blocks[0]
        normed = block.input_layernorm(vocabulary)[:, None]
        _, _, values = block.self_attn.project(normed, model.cos[:1], model.sin[:1])
        vocabulary = values.reshape(len(vocabulary), -1)
        width = vocabulary.shape[1]
        prompt_embeddings = prompt_embeddings[:, width : 2 * width]  # behind the keys of layer 0
    return torch.cdist(prompt_embeddings.float(), vocabulary).argmin(dim=1).tolist()
