"""Memory that runs out while a model computes. This module imports nothing heavy."""

from typing import Final

MESSAGES: Final = ("out of memory", "not enough memory", "allocate memory")
"""In the messages of torch's `RuntimeError`: for CUDA, for Apple's MPS, and for the CPU."""


class OutOfModelMemoryError(Exception):
    """The device has no memory left for a request; the message says what to do.

    The session can be used again; it may have dropped its cache.
    """


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was no memory left: for Python, for torch on any device, or for an engine."""
    if isinstance(error, MemoryError | OutOfModelMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in MESSAGES)
