"""Which library serves a processor, what is compiled where none is installed, and what is said."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from code_model.decoder import compiler
from code_model.decoder import library as libraries
from code_model.decoder.instruction_sets import AVX2, AVX512, BASELINE, Processor, this_processor
from code_model.decoder.library import backend, compile_library, find_library

needs_compiler = pytest.mark.skipif(compiler.find_compiler() is None, reason="no C++ compiler")
OLD = Processor("x86_64", {"fpu", "sse2", "avx"})
LAPTOP = Processor("x86_64", {*AVX2.flags, "sse2", "avx_vnni"})
SERVER = Processor("x86_64", {*AVX512.flags, "sse2", "avx512_bf16"})
ARM = Processor("aarch64", {"fp", "asimd"})


@pytest.fixture
def shipped(tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed folder with three libraries, which this machine can load."""
    folder = tmp_path / "compiled"
    folder.mkdir()
    for each in (AVX512, AVX2, BASELINE):
        (folder / each.file_name).symlink_to(library)
    monkeypatch.setattr(libraries, "SHIPPED", folder)
    return folder


@pytest.fixture
def nothing_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "attune"


@pytest.mark.parametrize(
    ("processor", "usable"),
    [
        (OLD, [BASELINE]),
        (LAPTOP, [AVX2, BASELINE]),
        (Processor("x86_64", {*AVX512.flags} - {"avx512_vnni"}), [AVX2, BASELINE]),
        (Processor("x86_64", {*AVX512.flags} - {"f16c"}), [BASELINE]),
        (SERVER, [AVX512, AVX2, BASELINE]),
        (ARM, [BASELINE]),
        (Processor("x86_64", ()), [BASELINE]),
    ],
)
def test_a_processor_gets_the_fastest_that_it_has_all_instructions_of(processor, usable) -> None:
    assert list(processor.usable) == usable


@pytest.mark.parametrize(
    ("cpuinfo", "flags"),
    [
        ("processor\t: 0\nflags\t\t: fpu sse2 avx2\nbugs\t\t: x\n\nflags\t: y", "fpu sse2 avx2"),
        ("processor : 0\nFeatures : fp asimd", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_what_a_processor_has_is_read_from_linux(monkeypatch, tmp_path, cpuinfo, flags) -> None:
    file = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        file.write_text(cpuinfo)
    monkeypatch.setattr("code_model.decoder.instruction_sets.CPUINFO", file)
    assert set(this_processor().flags) == set(flags.split())


@needs_compiler
@pytest.mark.parametrize(("processor", "best"), [(OLD, BASELINE), (LAPTOP, AVX2), (SERVER, AVX512)])
def test_an_installed_library_serves_without_a_compiler(
    shipped, nothing_compiled, monkeypatch, processor, best
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    found = find_library(processor)
    assert found is not None
    assert (found.path, found.shipped) == (shipped / best.file_name, True)
    said = backend(processor)
    assert best.name in said.means
    assert said.problem is None
    assert ("no AVX2" in said.means) == (processor is OLD)
    assert not nothing_compiled.exists()


@needs_compiler
def test_a_library_for_another_system_is_passed_over_and_reported(
    shipped, nothing_compiled, monkeypatch
) -> None:
    """As after a wheel was copied, or a home folder is shared: the next one that loads serves."""
    (shipped / AVX512.file_name).unlink()
    elf = bytearray((shipped / AVX2.file_name).read_bytes()[:4096])
    elf[18:20] = (0xF3).to_bytes(2, "little")  # the processor that it is for: RISC-V
    (shipped / AVX512.file_name).write_bytes(elf)
    found = find_library(SERVER)
    assert found is not None
    assert found.instruction_set == AVX2
    said = backend(SERVER)
    assert said.means.startswith("library for AVX2 (")
    assert said.problem is not None
    assert "library for AVX-512 cannot be loaded" in said.problem


@needs_compiler
def test_without_an_installed_one_it_is_compiled_once_for_this_user(library) -> None:
    made = library.stat()
    for found in (find_library(), compile_library()):
        assert found is not None
        assert (found.path, found.shipped) == (library, False)
    assert (library.stat().st_ino, library.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    assert "compiled here" in backend().means


@needs_compiler
def test_each_processor_has_a_file_of_its_own(nothing_compiled) -> None:
    """A home folder may be shared by machines."""
    files = {libraries.compiled_file(each) for each in (AVX512, AVX2, BASELINE)}
    assert len(files) == 3
    assert {file.parent for file in files if file} == {nothing_compiled}


@needs_compiler
@pytest.mark.parametrize(
    ("spoil", "loaded"),
    [
        (lambda file: None, True),
        (lambda file: file.chmod(0o720), False),
        (lambda file: file.write_bytes(b"half"), False),
        (Path.unlink, False),
    ],
    ids=["whole", "others can write it", "damaged", "gone"],
)
def test_a_compiled_file_is_loaded_if_it_is_whole_and_only_the_users(
    library: Path, nothing_compiled: Path, spoil: Callable[[Path], object], loaded: bool
) -> None:
    nothing_compiled.mkdir(parents=True)
    copy = nothing_compiled / library.name
    copy.write_bytes(library.read_bytes())
    copy.chmod(0o700)
    spoil(copy)
    assert (find_library() is not None) == loaded


@needs_compiler
def test_what_a_killed_compilation_left_is_removed_by_the_next(
    monkeypatch, nothing_compiled, library
) -> None:
    nothing_compiled.mkdir(parents=True)
    killed, running = (nothing_compiled / f"decode-{name}.partial" for name in "ab")
    for folder in (killed, running):
        folder.mkdir()
    os.utime(killed, (1.0, 1.0))
    compiler_of_a_moment = nothing_compiled.parent / "c++"
    compiler_of_a_moment.write_text(f'#!/bin/sh\nfor made; do :; done\nexec cp {library} "$made"\n')
    compiler_of_a_moment.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler_of_a_moment))
    made = compile_library()
    assert made is not None
    assert set(nothing_compiled.iterdir()) == {made.path, running}


def test_without_a_compiler_torch_computes_and_the_diagnosis_says_so(
    monkeypatch, nothing_compiled
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert compile_library() is find_library() is None
    said = backend()
    assert said.means == "torch"
    assert "there is no C++ compiler" in (said.problem or "")
    assert not nothing_compiled.exists()


def test_where_a_compiler_fails_torch_goes_on(monkeypatch, nothing_compiled, tmp_path, caplog):
    broken = tmp_path / "c++"
    broken.write_text(f"#!{sys.executable}\nraise SystemExit(1)\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", f"{broken} --option")
    assert compiler.find_compiler() == (str(broken), "--option")
    with caplog.at_level(logging.WARNING):
        assert compile_library() is None
    assert "torch is used instead" in caplog.text
    assert not list(nothing_compiled.iterdir())


ENDS_WHEN_TOLD = """
import sys
from code_model.decoder.library import compile_library
from code_model.decoder.worker_threads import start_until_exit
start_until_exit(compile_library, "compile")
sys.stdin.read()
"""


def test_what_a_compiler_has_started_ends_with_who_wanted_it(tmp_path) -> None:
    """A compiler's driver starts other processes, which would run on for a minute."""
    held, driver = tmp_path / "held", tmp_path / "c++"
    os.mkfifo(held)
    driver.write_text(f"#!/bin/sh\n(echo begun; exec sleep 100000) > {held} &\nwait\n")
    driver.chmod(0o755)
    environment = os.environ | {"CXX": str(driver), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with (
        subprocess.Popen(
            [sys.executable, "-c", ENDS_WHEN_TOLD], stdin=subprocess.PIPE, env=environment
        ) as process,
        held.open() as stream,
    ):
        assert stream.readline() == "begun\n"
        process.communicate()
        assert stream.read() == "", "at the end, nobody holds the pipe any more"
    assert process.returncode == 0
