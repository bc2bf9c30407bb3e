"""The bytes in which llama.cpp keeps one sequence of its cache, written and read here.

The layout is that of `llama_state_seq_get_data` in llama.cpp as llama-cpp-python 0.3.36 has it
(`src/llama-kv-cache.cpp`, `state_write_*`, and `src/llama-context.cpp`), for a cache of one stream
and a model without positions of several dimensions. Nothing promises that it stays, so
`code_model.llama_cpp.verification` tests it against the library at hand.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAGIC = 0xAF143CD8
F32, F16 = 0, 1  # enum ggml_type
DTYPES: Mapping[int, "np.dtype[np.floating]"] = {F32: np.dtype("<f4"), F16: np.dtype("<f2")}


@dataclass(frozen=True)
class CacheFormat:
    """How a cache holds keys and values.

    With flash attention, values are not transposed, and llama.cpp computes attention in float16
    whatever the type of keys and values is.
    """

    ggml_type: int
    flash_attention: bool

    @property
    def dtype(self) -> "np.dtype[np.floating]":
        """Of keys and values."""
        return DTYPES[self.ggml_type]


SMALL = CacheFormat(F16, flash_attention=True)
EXACT = CacheFormat(F32, flash_attention=False)


class StateLayoutError(ValueError):
    """The bytes have another layout than this module knows."""


@dataclass(frozen=True, eq=False)
class SequenceState:
    """Keys and values (L, P, G·D) at the positions 0..P-1, as llama.cpp's cache holds them."""

    keys: NDArray[np.floating]
    values: NDArray[np.floating]

    def encode(self, cache: CacheFormat) -> bytes:
        """The bytes for a cache of this format."""
        layers, positions, width = self.keys.shape
        row_bytes = width * cache.dtype.itemsize
        parts = [struct.pack("<IiII", MAGIC, 0, 1, positions)]
        parts += [struct.pack("<iIi", position, 1, 0) for position in range(positions)]
        parts.append(struct.pack("<II", not cache.flash_attention, layers))
        for layer in self.keys:
            parts.append(struct.pack("<iQ", cache.ggml_type, row_bytes))
            parts.append(layer.astype(cache.dtype).tobytes())
        for layer in self.values:
            if cache.flash_attention:
                parts.append(struct.pack("<iQ", cache.ggml_type, row_bytes))
                parts.append(layer.astype(cache.dtype).tobytes())
            else:
                parts.append(struct.pack("<iII", cache.ggml_type, cache.dtype.itemsize, width))
                parts.append(layer.T.astype(cache.dtype).tobytes())
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes, cache: CacheFormat, width: int) -> "SequenceState":
        """Of bytes of `llama_state_seq_get_data`, with `width` numbers in a row.

        Raises `StateLayoutError`.
        """
        reader = _Reader(data, cache)
        reader.expect("<I", MAGIC)
        reader.numbers("<i")  # the sequence
        reader.expect("<I", 1)  # streams
        (positions,) = reader.numbers("<I")
        for position in range(positions):
            reader.expect("<iI", position, 1)
            reader.numbers("<i")
        reader.expect("<I", int(not cache.flash_attention))
        (layers,) = reader.numbers("<I")
        keys, values = [], []
        for _ in range(layers):
            reader.expect("<iQ", cache.ggml_type, width * cache.dtype.itemsize)
            keys.append(reader.tensor(positions, width))
        for _ in range(layers):
            if cache.flash_attention:
                reader.expect("<iQ", cache.ggml_type, width * cache.dtype.itemsize)
                values.append(reader.tensor(positions, width))
            else:
                reader.expect("<iII", cache.ggml_type, cache.dtype.itemsize, width)
                values.append(reader.tensor(width, positions).T)
        reader.expect_end()
        return cls(np.stack(keys), np.stack(values))


class _Reader:
    """Reads from the beginning to the end. All methods raise `StateLayoutError`."""

    def __init__(self, data: bytes, cache: CacheFormat) -> None:
        self._data = data
        self._cache = cache
        self._at = 0

    def numbers(self, layout: str) -> tuple[int, ...]:
        try:
            numbers = struct.unpack_from(layout, self._data, self._at)
        except struct.error as error:
            raise StateLayoutError("it is shorter than expected") from error
        self._at += struct.calcsize(layout)
        return numbers

    def expect(self, layout: str, *numbers: int) -> None:
        read = self.numbers(layout)
        if read != numbers:
            raise StateLayoutError(f"it has {read} where {numbers} was expected")

    def tensor(self, rows: int, columns: int) -> NDArray[np.floating]:
        size = rows * columns * self._cache.dtype.itemsize
        data = self._data[self._at : self._at + size]
        if len(data) < size:
            raise StateLayoutError("it is shorter than expected")
        self._at += size
        return np.frombuffer(data, self._cache.dtype).reshape(rows, columns)

    def expect_end(self) -> None:
        if self._at < len(self._data):
            raise StateLayoutError("more follows than keys and values")
