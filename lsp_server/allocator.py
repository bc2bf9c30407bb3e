"""How the C library of the server's process takes and returns memory."""

import contextlib
import ctypes

M_MMAP_THRESHOLD = -3
"""Of `mallopt(3)`."""
LARGE_BLOCK = 2**20
"""Bytes. By itself glibc raises the threshold to the largest block ever freed, up to 32 MB. Smaller
blocks come and go in every step, and to map them each time makes a completion slower."""


def return_large_blocks() -> None:
    """Let glibc give every large block back to the system when it is freed.

    Tensors that live for one step would else tear the heap, whose free parts between lasting ones
    cannot be returned. Without glibc nothing changes.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)
