"""The golden prompts of tests/artifacts, shared by the tests of this folder."""

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from prompts.file import PromptFile

ARTIFACTS = Path(__file__).parents[2] / "artifacts"


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Folder of the golden prompt files."""
    return ARTIFACTS


@pytest.fixture(scope="session")
def builder() -> ModuleType:
    """The script that built the golden files, loaded by path as `tests` is no package."""
    spec = importlib.util.spec_from_file_location("artifacts_build", ARTIFACTS / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def kv_prompt(builder: ModuleType) -> PromptFile:
    """The golden prompt in the kv form: 3 tokens, 2 layers, 1 head of 2 numbers."""
    prompt: PromptFile = builder.example_prompt("kv")
    return prompt


@pytest.fixture(scope="session")
def embedding_prompt(builder: ModuleType) -> PromptFile:
    """The golden prompt in the embedding form: 3 tokens of 4 numbers."""
    prompt: PromptFile = builder.example_prompt("embedding")
    return prompt


def make_key(folder: Path, name: str) -> Path:
    """A signing key without a passphrase."""
    path = folder / name
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
    subprocess.run(command, check=True)
    return path


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private signing key; its public half stands beside it."""
    return make_key(tmp_path_factory.mktemp("keys"), "alice")
