"""What the diagnosis says about speed, and that it can be sent to others."""

import os
from pathlib import Path

import pytest

from attune.doctor import Finding, examine
from code_model.decoder import library
from code_model.decoder.instruction_sets import AVX2, BASELINE


def findings(tmp_path: Path, model: Path, subject: str) -> list[Finding]:
    return [each for each in examine(tmp_path, str(model)) if each.subject == subject]


@pytest.fixture(scope="module")
def compiled(_own_cache: None) -> Path:
    """A library that this machine can load."""
    made = library.compile_library()
    assert made is not None
    return made.path


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without AVX2, and a user without a compiler."""
    monkeypatch.setattr("code_model.decoder.instruction_sets.CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    (tmp_path / "cpuinfo").write_text("flags : sse2 avx\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)


@pytest.mark.usefixtures("processor")
def test_no_compiler(tmp_path: Path, tiny_model: Path) -> None:
    means, problem = findings(tmp_path, tiny_model, "computed by")
    assert (means.value, means.problem, problem.problem) == ("torch", False, True)
    assert "no C++ compiler" in problem.value


@pytest.mark.usefixtures("processor")
def test_a_read_only_cache_folder(tmp_path: Path, tiny_model: Path, monkeypatch) -> None:
    (tmp_path / "c++").write_text("")
    (tmp_path / "c++").chmod(0o755)
    monkeypatch.setenv("CXX", str(tmp_path / "c++"))
    (means,) = findings(tmp_path, tiny_model, "computed by")
    assert means.value == "torch, until the editor's server compiles it for baseline"
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)
    means, problem = findings(tmp_path, tiny_model, "computed by")
    assert means.value == "torch"
    assert "XDG_CACHE_HOME" in problem.value


@pytest.mark.usefixtures("processor")
def test_a_processor_without_avx2(
    tmp_path: Path, tiny_model: Path, compiled: Path, monkeypatch
) -> None:
    monkeypatch.setattr("code_model.decoder.library.SHIPPED", tmp_path)
    (tmp_path / BASELINE.file_name).symlink_to(compiled)
    (tmp_path / AVX2.file_name).write_bytes(b"never opened")
    (means,) = findings(tmp_path, tiny_model, "computed by")
    assert "library for baseline, shipped; this processor has no AVX2" in means.value
    assert findings(tmp_path, tiny_model, "completion")


@pytest.mark.usefixtures("processor")
def test_a_library_for_another_processor(tmp_path: Path, tiny_model: Path, monkeypatch) -> None:
    monkeypatch.setattr(library, "SHIPPED", tmp_path)
    (tmp_path / BASELINE.file_name).write_bytes(b"another system's")
    means, problem = findings(tmp_path, tiny_model, "computed by")
    assert means.value == "torch"
    assert "built for another system. Install the wheel of this one." in problem.value
    assert findings(tmp_path, tiny_model, "completion")


def test_the_users_folder_is_not_named(tmp_path: Path, tiny_model: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (cache,) = findings(tmp_path, tiny_model, "cache folder")
    assert cache.value == "~/cache/attune"
    assert not [each for each in examine(tmp_path, str(tiny_model)) if str(tmp_path) in each.value]
