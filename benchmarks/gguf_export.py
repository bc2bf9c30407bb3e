"""Export a model to GGUF for llama.cpp; without a vocabulary where only ids are compared."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from code_model.decoder.llama import Llama


def export_gguf(
    model: Llama, path: Path, *, full: bool = False, tokenizer: Path | None = None
) -> None:
    """Write weights as float16 and norms and biases as float32, as llama.cpp's converter does.

    With `full`, weights are float32 too. `tokenizer` is a tokenizer.json of byte-level BPE with
    GPT-2's pre-tokenizer.
    """
    config = model.config
    number = _single if full else _half
    # llama.cpp's qwen2 architecture has biases and Hugging Face's rotary order
    qwen = config.attention_bias
    writer = gguf.GGUFWriter(str(path), "qwen2" if qwen else "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32 if full else gguf.LlamaFileType.MOSTLY_F16)
    if tokenizer is None:
        writer.add_tokenizer_model("none")
    else:
        _add_vocabulary(writer, json.loads(tokenizer.read_text(encoding="utf-8")))
    writer.add_tensor("token_embd.weight", number(model.model.embed_tokens.weight))
    writer.add_tensor("output_norm.weight", _single(model.model.norm.weight))
    if not config.tie_word_embeddings:
        writer.add_tensor("output.weight", number(model.lm_head.weight))
    for index, block in enumerate(model.blocks):
        attention, mlp, name = block.self_attn, block.mlp, f"blk.{index}"
        q, k = attention.q_proj.weight, attention.k_proj.weight
        if not qwen:
            q = _interleaved(q, config.num_attention_heads)
            k = _interleaved(k, config.num_key_value_heads)
        for suffix, weight in (
            ("attn_q", q),
            ("attn_k", k),
            ("attn_v", attention.v_proj.weight),
            ("attn_output", attention.o_proj.weight),
            ("ffn_gate", mlp.gate_proj.weight),
            ("ffn_up", mlp.up_proj.weight),
            ("ffn_down", mlp.down_proj.weight),
        ):
            writer.add_tensor(f"{name}.{suffix}.weight", number(weight))
        writer.add_tensor(f"{name}.attn_norm.weight", _single(block.input_layernorm.weight))
        writer.add_tensor(f"{name}.ffn_norm.weight", _single(block.post_attention_layernorm.weight))
        if qwen:
            writer.add_tensor(f"{name}.attn_q.bias", _single(attention.q_proj.bias))
            writer.add_tensor(f"{name}.attn_k.bias", _single(attention.k_proj.bias))
            writer.add_tensor(f"{name}.attn_v.bias", _single(attention.v_proj.bias))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_vocabulary(writer: gguf.GGUFWriter, tokenizer: dict[str, Any]) -> None:
    special = {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    texts = {id_: text for text, id_ in tokenizer["model"]["vocab"].items()} | special
    merges = tokenizer["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([texts[id_] for id_ in range(len(texts))])
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    writer.add_token_types([control if id_ in special else normal for id_ in range(len(texts))])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)


def _interleaved(weight: Tensor, heads: int) -> Tensor:
    """Rows of each head in the order 0, D/2, 1, D/2 + 1, ….

    llama.cpp's llama architecture rotates adjacent rows, Hugging Face's rows i and i + D/2.
    """
    rows, width = weight.shape
    return weight.view(heads, 2, rows // heads // 2, width).transpose(1, 2).reshape(rows, width)


def _half(tensor: Tensor) -> NDArray[np.float16]:
    return tensor.detach().numpy().astype(np.float16)


def _single(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().numpy().astype(np.float32)
