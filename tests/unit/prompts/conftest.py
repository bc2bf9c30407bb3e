"""The golden prompts of tests/artifacts, shared by the tests of this folder."""

import importlib.util
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
