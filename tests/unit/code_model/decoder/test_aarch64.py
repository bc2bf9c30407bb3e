"""The step compiled for aarch64 and emulated, where a cross compiler and qemu are installed.

On Debian: `apt-get install g++-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static`.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from code_model.decoder import compiler

CROSS_COMPILER = shutil.which("aarch64-linux-gnu-g++")
EMULATOR = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
PROGRAM = Path(__file__).with_name("random_step.cpp")


def output(tmp_path: Path, command: list[str], *runner: str) -> list[tuple[str, float]]:
    """The ids and log-probabilities that the program prints, compiled by a command."""
    made = tmp_path / "random_step"
    options = ["-O0", "-std=c++17", "-fno-math-errno", "-pthread", "-w", "-static"]
    headers = f"-I{compiler.SOURCE.parent}"
    subprocess.run([*command, *options, headers, str(PROGRAM), "-o", str(made)], check=True)
    ran = subprocess.run([*runner, str(made)], check=True, capture_output=True, text=True)
    lines = [line.split() for line in ran.stdout.splitlines()]
    return [(chosen, float(logprob)) for chosen, logprob in lines]


@pytest.mark.slow
@pytest.mark.skipif(
    not (CROSS_COMPILER and EMULATOR and compiler.find_compiler()),
    reason="no cross compiler or emulator for aarch64",
)
def test_the_step_on_neon_gives_the_numbers_of_this_machine(tmp_path: Path) -> None:
    """In float32, bfloat16, int8 and int4, behind virtual tokens without positions."""
    own = output(tmp_path, list(compiler.find_compiler() or ()))
    other = output(tmp_path, [str(CROSS_COMPILER)], str(EMULATOR))
    assert len(own) == 4 * (9 + 1 + 7 + 6)
    assert len({chosen for chosen, _ in own}) > 40, "the numbers say something"
    assert [chosen for chosen, _ in other] == [chosen for chosen, _ in own]
    assert [logprob for _, logprob in other] == pytest.approx([p for _, p in own], abs=1e-3)
