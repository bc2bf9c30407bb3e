"""Compile `decode.cpp` on this machine, once, into the user's cache folder.

Without a compiler, and until it is done, torch computes the same (`code_model.decoder.forward`).
"""

import contextlib
import hashlib
import logging
import os
import platform
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

from file_access.user_folders import cache_folder

logger = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("decode.cpp")
HEADERS = tuple(
    SOURCE.with_name(f"{name}.h") for name in ("products", "quantised", "thread_pool", "vectors")
)
FLAGS = ("-O3", "-march=native", "-std=c++17", "-fno-math-errno", "-fPIC", "-shared", "-pthread")
COMPILE_SECONDS = 600.0  # takes a few seconds, but runs at low priority
POLL_SECONDS = 0.05


def library_file(compiler: str) -> Path:
    """The library's path: its name depends on sources, flags, compiler and processor."""
    sources = (file.read_text("utf-8") for file in (SOURCE, *HEADERS))
    key = (*sources, *FLAGS, compiler, platform.machine(), _processor())
    digest = hashlib.sha256("\0".join(key).encode()).hexdigest()
    return cache_folder() / f"decode-{digest[:16]}.so"


def find_compiler() -> str | None:
    """The path of a C++ compiler, None without one or on systems that are not POSIX."""
    if os.name != "posix":
        return None
    names = (os.environ.get("CXX"), "c++", "g++", "clang++")
    return next((path for name in names if name and (path := shutil.which(name))), None)


def compiled_library() -> Path | None:
    """The library that an earlier run compiled, None if there is none of this user."""
    compiler = find_compiler()
    if compiler is None:
        return None
    file = library_file(compiler)
    try:
        owner = file.stat().st_uid
    except OSError:
        return None
    return file if owner == os.getuid() else None


def compile_library(exiting: threading.Event | None = None) -> Path | None:
    """The library, compiled now if it does not exist yet; None where that fails.

    Once `exiting` is set the compiler is killed, and the result is None.
    """
    exiting = exiting or threading.Event()
    if (already := compiled_library()) is not None:
        return already
    compiler = find_compiler()
    if compiler is None:
        return None
    file = library_file(compiler)
    temporary = file.with_suffix(f".{os.getpid()}")
    command = [compiler, *FLAGS, str(SOURCE), "-o", str(temporary)]
    if nice := shutil.which("nice"):
        command[:0] = [nice, "-n", "10"]
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as running:
            try:
                _wait(running, exiting)
            finally:
                if running.poll() is None:  # the compiler and its children
                    os.killpg(running.pid, signal.SIGKILL)
        failed = running.returncode != 0
        if not failed:
            temporary.replace(file)
            _remove_leftovers(file.parent)
    except (OSError, subprocess.SubprocessError):
        failed = True
    if failed:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if not exiting.is_set():
            logger.warning("The native decoder could not be compiled; torch is used instead.")
        return None
    return file


def _wait(running: "subprocess.Popen[bytes]", exiting: threading.Event) -> None:
    deadline = time.monotonic() + COMPILE_SECONDS
    while running.poll() is None and time.monotonic() < deadline:
        if exiting.wait(POLL_SECONDS):
            return


def _remove_leftovers(folder: Path) -> None:
    """Delete temporary files of runs that were killed while compiling."""
    oldest = time.time() - 2 * COMPILE_SECONDS
    for leftover in folder.glob("decode-*.[0-9]*"):
        with contextlib.suppress(OSError):
            if leftover.stat().st_mtime < oldest:
                leftover.unlink()


def _processor() -> str:
    """Model and flags of the processor, because -march=native depends on them."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features", "CPU part")
    lines = cpuinfo.partition("\n\n")[0].splitlines()
    return "\n".join(line for line in lines if line.startswith(wanted))
