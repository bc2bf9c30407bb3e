"""Files of a published format version stay readable and reproducible."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import safetensors.numpy

from prompts.file import SUFFIX, read_manifest, read_prompt


@pytest.mark.parametrize(
    ("version", "form"),
    [
        (1, "kv"),
        (1, "embedding"),
        (2, "kv-nope"),
        (3, "kv"),
        (3, "embedding"),
        (3, "kv-nope"),
    ],
)
def test_artifact_reads_as_built(
    artifacts: Path, builder: ModuleType, version: int, form: str
) -> None:
    """A file of any version gives the manifest and the numbers it was made of."""
    path = artifacts / f"v{version}-{form}{SUFFIX}"
    expected = builder.example_prompt(form)
    prompt = read_prompt(path)
    assert prompt.manifest == expected.manifest
    assert prompt.embeddings.dtype == np.float32
    np.testing.assert_array_equal(prompt.embeddings, expected.embeddings, strict=True)
    assert read_manifest(path) == expected.manifest
    assert prompt.format_version == version


def test_artifacts_are_rebuilt_byte_for_byte(
    artifacts: Path, builder: ModuleType, tmp_path: Path
) -> None:
    """The same prompt gives the same bytes, today and under every later dependency."""
    rebuilt = builder.build(tmp_path)
    assert {path.name for path in rebuilt} == {path.name for path in artifacts.glob(f"*{SUFFIX}")}
    for path in rebuilt:
        assert path.read_bytes() == (artifacts / path.name).read_bytes()


def test_artifact_is_plain_safetensors(artifacts: Path, builder: ModuleType) -> None:
    """Any safetensors reader loads the tensor."""
    tensors = safetensors.numpy.load_file(artifacts / f"v1-kv{SUFFIX}")
    assert list(tensors) == ["prompt_embeddings"]
    np.testing.assert_array_equal(
        tensors["prompt_embeddings"], builder.example_prompt("kv").embeddings
    )


@pytest.mark.parametrize(("version", "form"), [(1, "kv"), (2, "kv-nope"), (3, "kv-nope")])
def test_artifact_with_every_optional_field(
    artifacts: Path, builder: ModuleType, version: int, form: str
) -> None:
    """Optional fields read as built."""
    path = artifacts / f"v{version}-full{SUFFIX}"
    assert read_prompt(path).manifest == builder.full_prompt(form).manifest


def test_artifact_of_another_writer(artifacts: Path, builder: ModuleType) -> None:
    """Order, padding, escapes, dtype and unknown keys of another writer change nothing."""
    prompt = read_prompt(artifacts / f"v1-foreign{SUFFIX}")
    expected = builder.example_prompt("embedding")
    assert prompt.manifest == expected.manifest
    np.testing.assert_array_equal(prompt.embeddings, expected.embeddings, strict=True)
