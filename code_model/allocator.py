"""How the C library of the server's process takes and returns memory. Without glibc, nothing here
does anything."""

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
    cannot be returned.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)


def return_free_pages() -> None:
    """Give the free pages inside of the heap back to the system, of all threads' heaps
    (`malloc_trim(3)`)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
