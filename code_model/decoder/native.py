"""The compiled forward step: ctypes around `decode.cpp`, with the weights packed for it.

Weights whose values bfloat16 holds exactly are packed in bfloat16: half the memory traffic for each
token, and the same result. Quantised weights are packed already (`code_model.decoder.quantised`),
and read in place.
"""

import ctypes
import threading
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from code_model.cancel import Cancel, StepCancelledError
from code_model.decoder.kv_cache import KVCache
from code_model.decoder.llama import Llama
from code_model.decoder.quantised import Quantised

TILE = 64  # rows, as in decode.cpp
MAX_THREADS = 8  # more do not help: the step is memory-bound
NUMBERS = ("float32", "bfloat16", "int8", "int4")  # the order of `Numbers` in decode.cpp


class _Shape(ctypes.Structure):
    """These structures mirror those of `decode.cpp` field by field."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("vocab", "hidden", "inner", "layers", "heads")),
        *((name, ctypes.c_int64) for name in ("kv_heads", "head_dim", "numbers")),
        ("eps", ctypes.c_float),
    )


class _Layer(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_void_p)
        for name in (
            *("attention_norm", "q", "k", "v", "qkv_bias", "out"),
            *("inner_norm", "gate", "up", "down"),
        )
    )


class _Model(ctypes.Structure):
    _fields_ = (
        ("shape", _Shape),
        *((name, ctypes.c_void_p) for name in ("embedding", "norm", "cos", "sin", "head")),
        ("layers", ctypes.POINTER(_Layer)),
    )


class _Step(ctypes.Structure):
    _fields_ = (
        ("ids", ctypes.POINTER(ctypes.c_int32)),
        *((name, ctypes.c_int64) for name in ("tokens", "scored", "start", "capacity", "nope")),
        *((name, ctypes.c_void_p) for name in ("keys", "values")),
        ("chosen", ctypes.POINTER(ctypes.c_int32)),
        ("logprobs", ctypes.POINTER(ctypes.c_float)),
        ("cancelled", ctypes.c_void_p),
        ("allowed", ctypes.c_char_p),
    )


@cache
def _loaded(file: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(file))
    library.attune_new_pool.restype = ctypes.c_void_p
    library.attune_new_pool.argtypes = (ctypes.c_int,)
    library.attune_delete_pool.argtypes = (ctypes.c_void_p,)
    library.attune_step.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    library.attune_step.restype = ctypes.c_int
    library.attune_pack.argtypes = (
        ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p
    )  # fmt: skip
    return library


class NativeForward:
    """A model's weights, packed for the compiled step, and the threads that run it.

    Not thread-safe. The model must stay alive and unchanged: some tensors are read in place.
    """

    def __init__(
        self,
        model: Llama,
        library: Path,
        threads: int | None = None,
        exiting: threading.Event | None = None,
    ) -> None:
        """Raises `StepCancelledError` soon after `exiting` is set."""
        self._exiting = exiting
        self._library = _loaded(library)
        self._kept: list[Tensor] = []
        self._numbers = model.quantisation or _smallest_exact(model)
        self._model = self._packed(model)
        self._layers: ctypes.Array[_Layer]
        count = threads or min(torch.get_num_threads(), MAX_THREADS)
        self._pool = self._library.attune_new_pool(count)

    def __del__(self) -> None:
        if pool := getattr(self, "_pool", None):
            self._library.attune_delete_pool(pool)

    def step(
        self,
        ids: Sequence[int],
        cache: KVCache,
        scored: int,
        cancel: Cancel | None = None,
        allowed: Collection[int] | None = None,
    ) -> tuple[list[int], list[float]]:
        """See `Forward`. The result has the same bits however ids are divided into steps."""
        tokens = len(ids)
        if not 0 <= scored <= tokens or cache.length + tokens > cache.capacity:
            raise ValueError(f"{tokens} tokens do not fit a cache of {cache.capacity}")
        if cache.keys.dtype != torch.float16:
            raise ValueError(f"the compiled step reads float16, not {cache.keys.dtype}")
        c_ids = (ctypes.c_int32 * tokens)(*ids)
        chosen, logprobs = (ctypes.c_int32 * scored)(), (ctypes.c_float * scored)()
        permitted = None
        if allowed is not None:
            permitted = bytearray(self._model.shape.vocab)
            for token in allowed:
                permitted[token] = 1
        step = _Step(
            c_ids, tokens, scored, cache.length, cache.keys.shape[2], cache.nope,
            cache.keys.data_ptr(), cache.values.data_ptr(), chosen, logprobs,
            None if cancel is None else cancel.address,
            None if permitted is None else bytes(permitted),
        )  # fmt: skip
        model = ctypes.byref(self._model)
        if not self._library.attune_step(self._pool, model, ctypes.byref(step)):
            raise StepCancelledError
        cache.length += tokens
        return list(chosen), list(logprobs)

    def _packed(self, model: Llama) -> _Model:
        config, decoder = model.config, model.model
        self._layers = (_Layer * config.num_hidden_layers)()
        for index, block in enumerate(model.blocks):
            attention, mlp = block.self_attn, block.mlp
            projections = (attention.q_proj, attention.k_proj, attention.v_proj)
            bias = None
            if attention.q_proj.bias is not None:
                bias = self._keep(torch.cat([projection.bias for projection in projections]))
            self._layers[index] = _Layer(
                block.input_layernorm.weight.data_ptr(),
                *(self._pack(projection) for projection in projections),
                bias,
                self._pack(attention.o_proj),
                block.post_attention_layernorm.weight.data_ptr(),
                *(self._pack(each) for each in (mlp.gate_proj, mlp.up_proj, mlp.down_proj)),
            )
        embedding = decoder.embed_tokens
        head = self._pack(embedding if config.tie_word_embeddings else model.lm_head)
        rows = embedding.packed if isinstance(embedding, Quantised) else embedding.weight
        shape = _Shape(
            config.vocab_size, config.hidden_size, config.intermediate_size,
            config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads,
            config.head_dim, NUMBERS.index(self._numbers), config.rms_norm_eps,
        )  # fmt: skip
        return _Model(
            shape, rows.data_ptr(), decoder.norm.weight.data_ptr(), model.cos.data_ptr(),
            model.sin.data_ptr(), head, self._layers,
        )  # fmt: skip

    def _keep(self, tensor: Tensor) -> int:
        """Keep a tensor alive as long as this object; returns its address."""
        self._kept.append(tensor)
        return tensor.data_ptr()

    def _pack(self, module: nn.Module) -> int:
        """The address of a matrix in tiles of `TILE` rows, packed now if it is not quantised."""
        if self._exiting is not None and self._exiting.is_set():
            raise StepCancelledError
        if isinstance(module, Quantised):
            return self._keep(module.packed)
        weight: Tensor = module.get_parameter("weight").detach().contiguous()
        rows, width = weight.shape
        dtype = torch.bfloat16 if self._numbers == "bfloat16" else torch.float32
        packed = torch.empty((-(-rows // TILE) * TILE, width), dtype=dtype)
        self._library.attune_pack(
            weight.data_ptr(), rows, width, int(dtype == torch.bfloat16), packed.data_ptr()
        )
        return self._keep(packed)


def _smallest_exact(model: Llama) -> str:
    """The smallest of the floating-point numbers that hold all weights of the matrices exactly."""
    matrices = (parameter for parameter in model.parameters() if parameter.ndim == 2)
    exact = all(torch.equal(matrix, matrix.bfloat16().float()) for matrix in matrices)
    return "bfloat16" if exact else "float32"
