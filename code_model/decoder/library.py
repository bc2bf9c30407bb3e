"""Which library computes the decode step here: one of the wheel's, or one that is compiled here.

A wheel for this kind of machine has one for each instruction set. A source checkout has none: there
it is compiled once, into the user's cache folder, and until then torch computes the same
(`code_model.decoder.forward`).
"""

import ctypes
import logging
import os
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from code_model.decoder.compiler import compile_command, digest, find_compiler
from code_model.decoder.instruction_sets import InstructionSet, Processor, this_processor
from code_model.language_model import Backend
from code_model.leftovers import remove_leftovers
from file_access.user_folders import cache_folder

logger = logging.getLogger(__name__)

SHIPPED: Final = Path(__file__).with_name("compiled")
POLL_SECONDS: Final = 0.05


@dataclass(frozen=True)
class Library:
    """A library that can be loaded, and what it was compiled for."""

    path: Path
    instruction_set: InstructionSet
    shipped: bool


def find_library(processor: Processor | None = None) -> Library | None:
    """The fastest library for a processor, by default this one's; None until one is compiled."""
    usable = (processor or this_processor()).usable
    for each in usable:
        shipped = SHIPPED / each.file_name
        if shipped.exists() and loading_error(shipped) is None:
            return Library(shipped, each, shipped=True)
    file = compiled_file(usable[0])
    if file is not None and _is_own(file) and loading_error(file) is None:
        return Library(file, usable[0], shipped=False)
    return None


def compile_library(exiting: threading.Event | None = None) -> Library | None:
    """The library of `find_library`, compiled now if there is none; None where that fails.

    Once `exiting` is set the compiler is killed, and the result is None.
    """
    exiting = exiting or threading.Event()
    instruction_set = this_processor().usable[0]
    file = compiled_file(instruction_set)
    if (found := find_library()) is not None or file is None:
        return found
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_leftovers(file.parent, "decode-*.partial")
        _compile(instruction_set, file, exiting)
    except OSError as error:
        if not exiting.is_set():
            logger.warning("The decode step was not compiled; torch is used instead: %s.", error)
        return None
    return find_library()


def compiled_file(instruction_set: InstructionSet) -> Path | None:
    """Where the library lies that is compiled here; None without a compiler."""
    compiler = find_compiler()
    if compiler is None:
        return None
    return cache_folder() / f"decode-{digest(compile_command(compiler, instruction_set))}.so"


def loading_error(file: Path) -> str | None:
    """Why this system cannot load a library, None if it can. It stays loaded."""
    try:
        ctypes.CDLL(str(file))
    except OSError as error:
        return str(error)
    return None


def backend(processor: Processor | None = None) -> Backend:
    """What computes the decode step, and what makes it slower than it need be."""
    processor = processor or this_processor()
    best = processor.usable[0]
    foreign = [
        each.name
        for each in processor.usable
        if (SHIPPED / each.file_name).exists() and loading_error(SHIPPED / each.file_name)
    ]
    problem = None
    if foreign:
        problem = (
            f"The installed library for {foreign[0]} cannot be loaded: it was built for another "
            "system. Install the wheel of this one."
        )
    if (found := find_library(processor)) is not None:
        origin = "shipped" if found.shipped else "compiled here"
        flags = f" ({' '.join(found.instruction_set.flags)})" if found.instruction_set.flags else ""
        means = f"library for {found.instruction_set.name}{flags}, {origin}"
        if processor.lacks_avx2:
            means += "; this processor has no AVX2, so a call takes about twice as long"
        return Backend(means, problem)
    file = compiled_file(best)
    if file is None:
        lacking = "there is no C++ compiler. Install one, or a wheel of Attune for this system"
    elif not _can_be_written(file.parent):
        lacking = "nothing can be written in the cache folder. Let XDG_CACHE_HOME name another one"
    else:
        return Backend(f"torch, until the editor's server compiles it for {best.name}", problem)
    slower = f"The decode step is not compiled, and a call takes several times as long: {lacking}."
    return Backend("torch", problem or slower)


def _compile(instruction_set: InstructionSet, file: Path, exiting: threading.Event) -> None:
    """Raises `OSError` if that fails, or soon after `exiting` is set."""
    compiler = find_compiler()
    if compiler is None:
        raise FileNotFoundError("there is no C++ compiler any more")
    with TemporaryDirectory(prefix="decode-", suffix=".partial", dir=file.parent) as folder:
        made = Path(folder, file.name)
        command = ["nice", "-n", "10", *compile_command(compiler, instruction_set), "-o", str(made)]
        null = subprocess.DEVNULL
        with subprocess.Popen(
            command, stdin=null, stdout=null, stderr=null, start_new_session=True
        ) as running:
            while running.poll() is None and not exiting.wait(POLL_SECONDS):
                pass
            if running.poll() is None:  # the compiler and what it has started
                os.killpg(running.pid, signal.SIGKILL)
        if running.returncode != 0:
            raise ChildProcessError(f"{compiler[0]} failed with {running.returncode}")
        made.chmod(0o700)
        made.replace(file)


def _is_own(file: Path) -> bool:
    """Whether nobody but this user can have written a file that is to be executed."""
    try:
        status = file.stat()
    except OSError:
        return False
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


def _can_be_written(folder: Path) -> bool:
    while not folder.exists():
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
