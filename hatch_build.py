"""Build hook of the wheel: the decode step, compiled once for each instruction set.

Such a wheel is for one kind of machine, and needs no compiler there. Without a compiler here, or
with `ATTUNE_WHEEL_PLATFORM=any`, the wheel holds the sources alone and is for all machines. An
editable install compiles nothing: its first server does (`code_model.decoder.library`).

`ATTUNE_WHEEL_PLATFORM` names another platform than this machine's, for the compiler that `CXX`
names: `linux_aarch64` with a cross compiler, `manylinux_2_28_x86_64` in an image of that name.
"""

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))

from code_model.decoder.compiler import compile_command, digest, find_compiler
from code_model.decoder.instruction_sets import InstructionSet, instruction_sets

PLATFORM_VARIABLE = "ATTUNE_WHEEL_PLATFORM"
FOLDER = "code_model/decoder/compiled"
STRIP = ("-s",)
"""On Linux; elsewhere it is another option or none."""


class DecodeStepHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the libraries to a wheel, and the platform to its name."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See hatchling. Raises `RuntimeError` with the compiler's words if that fails."""
        platform = os.environ.get(PLATFORM_VARIABLE) or this_platform()
        if version == "editable" or platform == "any":
            return
        compiler = find_compiler()
        if compiler is None:
            self.app.display_warning("No C++ compiler: this wheel has no compiled decode step.")
            return
        machine = "x86_64" if platform.endswith("_x86_64") else "other"
        cache = Path(self.root, ".cache", "wheel")
        cache.mkdir(parents=True, exist_ok=True)
        options = STRIP if "linux" in platform else ()
        sets = instruction_sets(machine)
        with ThreadPoolExecutor(os.cpu_count()) as executor:
            files = executor.map(lambda each: library(compiler, each, options, cache), sets)
            for each, file in zip(sets, files, strict=True):
                build_data["force_include"][str(file)] = f"{FOLDER}/{each.file_name}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"


def this_platform() -> str:
    """This machine's, as the name of a wheel has it."""
    return re.sub("[-.]", "_", sysconfig.get_platform())


def library(
    compiler: Sequence[str], instruction_set: InstructionSet, options: Sequence[str], cache: Path
) -> Path:
    """The step compiled for an instruction set: now, or from the same sources before.

    Raises `RuntimeError`.
    """
    command = compile_command(compiler, instruction_set, *options)
    file = cache / f"{digest(command)}.so"
    if not file.exists():
        made = cache / f"{file.name}.{os.getpid()}"
        ended = subprocess.run([*command, "-o", str(made)], stderr=subprocess.PIPE, text=True)
        if ended.returncode != 0:
            made.unlink(missing_ok=True)
            raise RuntimeError(f"The decode step cannot be compiled:\n{ended.stderr}")
        made.replace(file)
    return file
