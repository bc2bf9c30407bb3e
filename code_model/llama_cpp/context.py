"""One `llama_context`: a cache of keys and values for two sequences, and forward passes over it."""

import ctypes
import os
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from code_model.cancel import Cancel, StepCancelledError
from code_model.llama_cpp.sequence_state import CacheFormat
from code_model.llama_cpp_library import Weights
from code_model.out_of_memory import OutOfModelMemoryError

DOCUMENT, SCRATCH = 0, 1  # the sequences: what is being written, and one beside it
BATCH = 128  # tokens of one forward pass, and between two tests of a cancel flag that is no Cancel
ABORTED = 2  # of llama_decode


class DecodeError(OutOfModelMemoryError):
    """llama.cpp could not compute, as a rule for lack of memory.

    The cache holds what it held before.
    """


class Context:
    """Forward passes of a model behind two sequences in one cache. Not thread-safe.

    `positions` are those of both sequences together; a beginning that they share counts once.
    Raises `DecodeError` if there is no memory for it.
    """

    def __init__(self, weights: Weights, positions: int, threads: int, cache: CacheFormat) -> None:
        self.weights = weights
        self.api = weights.api
        self.cache = cache
        parameters = self.api.llama_context_default_params()
        parameters.n_ctx = positions
        parameters.n_batch = parameters.n_ubatch = BATCH
        parameters.n_seq_max = 2
        parameters.kv_unified = True
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.flash_attn_type = int(cache.flash_attention)  # never "auto"
        parameters.type_k = parameters.type_v = cache.ggml_type
        parameters.no_perf = True
        self.pointer = self.api.llama_init_from_model(weights.pointer, parameters)
        if not self.pointer:
            raise DecodeError(
                f"llama.cpp has no memory for a cache of {positions} positions; close other "
                "programs, or use a smaller model."
            )
        self._finalizer = weakref.finalize(self, self.api.llama_free, self.pointer)
        self._memory = self.api.llama_get_memory(self.pointer)
        self._embedding_width = int(self.api.llama_model_n_embd(weights.pointer))

    def forward(
        self,
        ids: Sequence[int],
        position: int,
        *,
        scored: int,
        sequence: int = DOCUMENT,
        cancel: Cancel | None = None,
    ) -> NDArray[np.float32]:
        """Compute at most `BATCH` ids from `position` on; the logits (scored, V) of the last.

        The logits are valid until the next pass. Raises `StepCancelledError`, and `DecodeError` if
        the pass fails; the ids are then not in the cache.
        """
        tokens = (ctypes.c_int32 * len(ids))(*ids)
        self._decode(len(ids), position, scored, sequence, cancel, token=tokens)
        if not scored:
            return np.empty((0, self.weights.vocabulary_size), np.float32)
        logits = self.api.llama_get_logits(self.pointer)
        return np.ctypeslib.as_array(logits, (scored, self.weights.vocabulary_size))

    def forward_embeddings(self, rows: NDArray[np.float32]) -> None:
        """Compute input embeddings (P, d) at the positions 0..P-1 of the document.

        Raises `DecodeError`.
        """
        for start in range(0, len(rows), BATCH):
            chunk = np.ascontiguousarray(rows[start : start + BATCH], np.float32)
            numbers = chunk.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            self._decode(len(chunk), start, 0, DOCUMENT, None, embd=numbers)

    def cut(self, length: int, sequence: int = DOCUMENT) -> None:
        """Keep the positions before `length`."""
        self.api.llama_memory_seq_rm(self._memory, sequence, length, -1)

    def share_beginning(self, length: int) -> None:
        """Let the sequence beside consist of the document's positions before `length`."""
        self.cut(0, SCRATCH)
        self.api.llama_memory_seq_cp(self._memory, DOCUMENT, SCRATCH, 0, length)

    def state(self, sequence: int = DOCUMENT) -> bytes:
        """The bytes of a sequence (`code_model.llama_cpp.sequence_state`)."""
        size = self.api.llama_state_seq_get_size(self.pointer, sequence)
        buffer = (ctypes.c_uint8 * size)()
        written = self.api.llama_state_seq_get_data(self.pointer, buffer, size, sequence)
        return bytes(buffer[:written])

    def set_state(self, state: bytes, sequence: int = DOCUMENT) -> None:
        """Replace a sequence by its bytes. Raises `DecodeError` if llama.cpp refuses them."""
        buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        read = self.api.llama_state_seq_set_data(self.pointer, buffer, len(state), sequence)
        if read != len(state):
            raise DecodeError(
                f"llama.cpp does not take {len(state)} bytes of keys and values; it may be out of "
                "memory: close other programs, or use a smaller model."
            )

    def _decode(
        self,
        count: int,
        position: int,
        scored: int,
        sequence: int,
        cancel: Cancel | None,
        **inputs: Any,
    ) -> None:
        """One `llama_decode` of ids or embeddings; the last `scored` of them give logits."""
        one_sequence = ctypes.pointer(ctypes.c_int32(sequence))
        flags = [0] * (count - scored) + [1] * scored
        batch = self.api.llama_batch(
            n_tokens=count,
            pos=(ctypes.c_int32 * count)(*range(position, position + count)),
            n_seq_id=(ctypes.c_int32 * count)(*[1] * count),
            seq_id=(ctypes.POINTER(ctypes.c_int32) * count)(*[one_sequence] * count),
            logits=(ctypes.c_int8 * count)(*flags),
            **inputs,
        )
        self._watch(cancel)
        result = self.api.llama_decode(self.pointer, batch)
        if result == 0:
            return
        self.cut(position, sequence)
        if result == ABORTED:
            raise StepCancelledError
        raise DecodeError(
            f"llama.cpp could not compute {count} tokens (code {result}); it may be out of "
            "memory: close other programs, or use a smaller model."
        )

    def _watch(self, cancel: Cancel | None) -> None:
        """Let a pass end at its next operation once `cancel` is raised.

        llama.cpp then calls `strlen` with the flag's address: 0 while its first byte is 0. A Python
        function in its place would wait for the interpreter's lock thousands of times.
        """
        callback = self.api.ggml_abort_callback(0 if cancel is None else _STRLEN)
        address = None if cancel is None else cancel.address
        self.api.llama_set_abort_callback(self.pointer, callback, address)


_C_LIBRARY = ctypes.CDLL("msvcrt" if os.name == "nt" else None)
_STRLEN = ctypes.cast(_C_LIBRARY.strlen, ctypes.c_void_p).value
