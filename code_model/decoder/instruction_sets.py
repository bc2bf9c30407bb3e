"""The instruction sets that the decode step is compiled for, and which of them a processor has.

Imports the standard library alone: the build of the wheel reads it too.
"""

import platform
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CPUINFO: Final = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class InstructionSet:
    """`flags` are Linux's names of what a processor must have; without any, all have it."""

    name: str
    flags: tuple[str, ...] = ()

    @property
    def options(self) -> tuple[str, ...]:
        """What GCC and Clang are told."""
        return tuple(f"-m{flag.replace('_', '')}" for flag in self.flags)

    @property
    def file_name(self) -> str:
        """The name of its library in a wheel."""
        return f"decode-{self.name.lower()}.so"


BASELINE: Final = InstructionSet("baseline")
"""SSE2 on x86-64, NEON on aarch64."""
AVX2: Final = InstructionSet("AVX2", ("avx2", "fma", "f16c"))
AVX512: Final = InstructionSet(
    "AVX-512", (*AVX2.flags, "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni")
)
"""With VNNI, which products of 8 and 4 bits use. The few processors that have the one without the
other take AVX2."""
X86_64: Final = (AVX512, AVX2, BASELINE)


def instruction_sets(machine: str) -> tuple[InstructionSet, ...]:
    """Those of a kind of machine, by Python's name for it; the fastest first."""
    return X86_64 if machine == "x86_64" else (BASELINE,)


@dataclass(frozen=True)
class Processor:
    """A kind of machine, and Linux's names of what its processor has."""

    machine: str
    flags: Collection[str]

    @property
    def usable(self) -> tuple[InstructionSet, ...]:
        """The instruction sets that it has; the fastest first, `BASELINE` always the last."""
        return tuple(
            each for each in instruction_sets(self.machine) if set(each.flags) <= set(self.flags)
        )

    @property
    def lacks_avx2(self) -> bool:
        """Whether it is the rare one that only the slowest library of its kind serves."""
        return self.machine == "x86_64" and AVX2 not in self.usable


def this_processor() -> Processor:
    """The processor of this machine. Where no file says what it has, it counts as having little."""
    try:
        lines = CPUINFO.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    flags = next((line.partition(":")[2] for line in lines if line.startswith("flags")), "")
    return Processor(platform.machine(), frozenset(flags.split()))
