"""The wheel holds the listed packages and nothing else."""

import subprocess
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from hatch_build import PLATFORM_VARIABLE, DecodeStepHook
from tests.structure.source import PACKAGES, ROOT

NOT_SHIPPED = {"benchmarks", "pretraining"}
SUFFIXES = {
    ".py",
    ".scm",
    ".cpp",
    ".h",
    ".toml",
    ".json",
    ".safetensors",
    ".md",
    ".html",
    ".css",
    ".js",
}


def shipped_paths() -> list[PurePosixPath]:
    """Every file of the wheel but its metadata."""
    builder = WheelBuilder(str(ROOT))
    return [PurePosixPath(file.distribution_path) for file in builder.recurse_included_files()]


def test_top_level_folders() -> None:
    assert {path.parts[0] for path in shipped_paths()} == set(PACKAGES) - NOT_SHIPPED


def test_a_source_distribution_is_what_a_wheel_is_built_from() -> None:
    """And nothing that builds leave in the clone, such as packages of Node.js."""
    files = SdistBuilder(str(ROOT)).recurse_included_files()
    paths = {PurePosixPath(file.relative_path) for file in files}
    assert set(shipped_paths()) <= paths
    assert PurePosixPath("hatch_build.py") in paths
    assert {path.parts[0] for path in paths if len(path.parts) > 1} == set(PACKAGES) - NOT_SHIPPED


def test_nothing_that_a_command_left_is_committed_at_the_root() -> None:
    """Such as an archive that `npm pack` writes where it stands."""
    tracked = ["git", "-C", str(ROOT), "ls-files", "--cached", "--", ":(glob)*"]
    listed = subprocess.run(tracked, capture_output=True, text=True, check=True).stdout.split()
    suffixes = {PurePosixPath(name).suffix for name in listed}
    assert suffixes <= {"", ".md", ".txt", ".toml", ".lock", ".py"}


def test_kinds_of_files() -> None:
    assert {path.suffix for path in shipped_paths()} <= SUFFIXES
    assert not [path for path in shipped_paths() if "__pycache__" in path.parts]


def test_the_default_model_the_grammar_queries_and_the_page_templates_are_shipped() -> None:
    paths = {str(path) for path in shipped_paths()}
    for needed in (
        "code_model/default/model.safetensors",
        "code_model/default/tokenizer.json",
        "code_model/decoder/decode.cpp",
        "code_model/decoder/products.h",
        "code_model/decoder/quantised.h",
        "code_model/decoder/thread_pool.h",
        "code_model/decoder/vectors.h",
        "attune/pages/templates/report.html",
        "attune/pages/templates/why.html",
    ):
        assert needed in paths
    assert sum(path.endswith(".scm") for path in paths) >= 12


def added(root: Path, version: str = "standard") -> dict[str, Any]:
    """What the build hook adds to a wheel."""
    data: dict[str, Any] = {"force_include": {}, "pure_python": True}
    hook = DecodeStepHook(str(root), {}, None, None, str(root), "wheel")
    hook.initialize(version, data)
    return data


PURE = {"force_include": {}, "pure_python": True}


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that writes the words of its command in place of a library."""
    script = tmp_path / "c++"
    script.write_text('#!/bin/sh\nfor made; do :; done\necho "$@" > "$made"\n')
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.delenv(PLATFORM_VARIABLE, raising=False)
    return script


@pytest.mark.parametrize(
    ("platform", "names"),
    [("linux_x86_64", ["avx-512", "avx2", "baseline"]), ("linux_aarch64", ["baseline"])],
)
def test_a_wheel_has_the_step_for_each_instruction_set(
    compiler, tmp_path, monkeypatch, platform, names
) -> None:
    monkeypatch.setenv(PLATFORM_VARIABLE, platform)
    data = added(tmp_path)
    assert (data["pure_python"], data["tag"]) == (False, f"py3-none-{platform}")
    paths = [f"code_model/decoder/compiled/decode-{name}.so" for name in names]
    assert list(data["force_include"].values()) == paths
    for name, made in zip(names, data["force_include"], strict=True):
        command = Path(made).read_text("utf-8")
        assert ("-mavx2" in command) == (name in ("avx-512", "avx2"))
        assert ("-mavx512vnni" in command) == (name == "avx-512")
    compiler.write_text("#!/bin/sh\nexit 1\n")
    assert added(tmp_path) == data, "the same sources are not compiled again"


def test_a_wheel_for_all_machines_an_editable_one_or_one_without_compiler_compiles_nothing(
    compiler, tmp_path, monkeypatch
) -> None:
    assert added(tmp_path, "editable") == PURE
    monkeypatch.setenv(PLATFORM_VARIABLE, "any")
    assert added(tmp_path) == PURE
    monkeypatch.delenv(PLATFORM_VARIABLE)
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "")
    assert added(tmp_path) == PURE


def test_no_wheel_is_made_where_the_compiler_fails(compiler, tmp_path) -> None:
    compiler.write_text("#!/bin/sh\necho no such header >&2\nexit 1\n")
    with pytest.raises(RuntimeError, match="no such header"):
        added(tmp_path)
    assert not list((tmp_path / ".cache" / "wheel").iterdir())
