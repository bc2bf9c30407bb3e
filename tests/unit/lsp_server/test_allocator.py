"""Large blocks go back to the system."""

import subprocess
import sys

import pytest

# 20 MB are taken and freed, then 2 MB are taken: how many blocks are mapped?
PROGRAM = """
import ctypes
from lsp_server.allocator import return_large_blocks

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
