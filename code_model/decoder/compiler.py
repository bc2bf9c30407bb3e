"""How `decode.cpp` is compiled: for the wheel, and on the machine of a source checkout.

Imports the standard library alone: the build of the wheel reads it too.
"""

import hashlib
import os
import platform
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from code_model.decoder.instruction_sets import InstructionSet

SOURCE: Final = Path(__file__).with_name("decode.cpp")
OPTIONS: Final = (
    "-O3", "-std=c++17", "-fno-math-errno", "-fPIC", "-shared", "-pthread", "-w"
)  # fmt: skip


def find_compiler() -> tuple[str, ...] | None:
    """The command of a C++ compiler; None without one, or on systems that are not POSIX.

    `CXX` may hold options too, as it may for make.
    """
    if os.name != "posix":
        return None
    named = shlex.split(os.environ.get("CXX", ""))
    for command in (named, ["c++"], ["g++"], ["clang++"]):
        if command and (path := shutil.which(command[0])) is not None:
            return (path, *command[1:])
    return None


def compile_command(
    compiler: Sequence[str], instruction_set: InstructionSet, *options: str
) -> list[str]:
    """The command that compiles the step, less `-o` and the name of the library."""
    return [*compiler, *OPTIONS, *instruction_set.options, *options, str(SOURCE)]


def digest(command: Sequence[str]) -> str:
    """16 hexadecimal digits that differ if sources, command or kind of machine do."""
    sources = [*sorted(SOURCE.parent.glob("*.h")), SOURCE]
    key = [*(file.read_text("utf-8") for file in sources), *command, platform.machine()]
    return hashlib.sha256("\0".join(key).encode()).hexdigest()[:16]
