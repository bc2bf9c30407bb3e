"""Large blocks, and free pages between others, go back to the system."""

import subprocess
import sys

import pytest

# 20 MB are taken and freed, then 2 MB are taken: how many blocks are mapped?
PROGRAM = """
import ctypes
from code_model.allocator import return_large_blocks

class Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
        "fordblks", "keepcost")]

libc = ctypes.CDLL("libc.so.6")
libc.mallinfo2.restype = Mallinfo2
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
CALL
libc.free(libc.malloc(20 << 20))
mapped = libc.mallinfo2().hblks
libc.malloc(2 << 20)
print(libc.mallinfo2().hblks - mapped)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is about glibc")
@pytest.mark.parametrize(("call", "mapped"), [("", "0"), ("return_large_blocks()", "1")])
def test_a_block_that_outlived_a_larger_one_can_be_returned(call: str, mapped: str) -> None:
    """Without the call glibc keeps it in its heap."""
    command = [sys.executable, "-c", PROGRAM.replace("CALL", call)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == mapped


# of 64 MB in blocks of 64 KB, all but every hundredth are freed: how much of it stays resident?
TORN = """
import ctypes
import psutil
from code_model.allocator import return_free_pages

libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
resident = psutil.Process().memory_info
before = resident().rss
blocks = [libc.malloc(64 << 10) for _ in range(1000)]
for block in blocks:
    ctypes.memset(block, 1, 64 << 10)
for number, block in enumerate(blocks):
    if number % 100 != 99:
        libc.free(block)
CALL
print((resident().rss - before) >> 20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is about glibc")
@pytest.mark.parametrize(("call", "low", "high"), [("", 50, 70), ("return_free_pages()", 0, 10)])
def test_free_pages_between_lasting_blocks_are_returned(call: str, low: int, high: int) -> None:
    """Without the call glibc keeps them."""
    command = [sys.executable, "-c", TORN.replace("CALL", call)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert low <= int(done.stdout) <= high
