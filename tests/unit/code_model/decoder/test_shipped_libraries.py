"""The libraries of a wheel give the numbers of torch, on each instruction set that runs here."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from code_model.block_quantisation import SCHEMES
from code_model.decoder import compiler
from code_model.decoder.instruction_sets import instruction_sets, this_processor
from tests.structure.source import ROOT
from tests.unit.code_model.decoder.test_native import check_bits, check_floats
from tests.unit.code_model.decoder.test_quantised import check_against_torch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(compiler.find_compiler() is None, reason="no C++ compiler"),
]
PROCESSOR = this_processor()


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the libraries in a wheel that is built now."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    assert "-py3-none-" in wheel.name
    assert not wheel.name.endswith("-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith("code_model/decoder/compiled/"):
                archive.extract(name, folder)
    return folder / "code_model" / "decoder" / "compiled"


def test_a_wheel_has_a_library_for_each_instruction_set(libraries: Path) -> None:
    expected = {each.file_name for each in instruction_sets(PROCESSOR.machine)}
    assert {file.name for file in libraries.iterdir()} == expected


@pytest.mark.parametrize("instruction_set", PROCESSOR.usable, ids=lambda each: each.name)
def test_each_gives_the_numbers_of_torch(libraries: Path, instruction_set) -> None:
    library = libraries / instruction_set.file_name
    for scheme in SCHEMES:
        check_against_torch(library, scheme)
    for bf16 in (True, False):
        check_floats(library, 19, heads=4, kv_heads=2, bias=True, tied=False, bf16=bf16)
    check_bits(library, threads=3)
