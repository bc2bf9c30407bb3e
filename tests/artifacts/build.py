"""Build the two golden prompt files of format version 1.

Run `python -m tests.artifacts.build` from the repository root, only for a new format version: the
files of a published version stay as they are, because every later release must read them.
"""

from pathlib import Path

import numpy as np

from prompts.file import SUFFIX, PromptFile, write_prompt
from prompts.manifest import Form, Manifest, ModelIdentity

IDENTITY = ModelIdentity(
    name="example/tiny-coder",
    model_fingerprint="1a" * 32,
    tokenizer_fingerprint="2b" * 32,
    layout_fingerprint="3c" * 32,
    num_layers=2,
    num_key_value_heads=1,
    head_dim=2,
    hidden_size=4,
)


def example_prompt(form: Form) -> PromptFile:
    """Return the golden prompt of one form; its numbers are exact in F32, F16 and BF16."""
    manifest = Manifest(
        name="example",
        form=form,
        num_virtual_tokens=3,
        model=IDENTITY,
        languages=("python", "typescript"),
        repository="café",
        commit="4d" * 20,
        created="2026-01-02T03:04:05+00:00",
        recipe={"learning_rate": 0.02, "seed": 7, "steps": 300},
        measured={"bits_per_byte": {"no_prompt": 0.75, "prompt": 0.625}, "proven": True},
        licence="Apache-2.0",
        lineage=("5e" * 32,),
        attune_version="0.1.0",
    )
    rows, width = manifest.shape
    numbers = np.arange(rows * width, dtype=np.float32) / np.float32(4) - np.float32(1)
    return PromptFile(manifest, numbers.reshape(rows, width))


def build(folder: Path) -> list[Path]:
    """Write both golden files into `folder` and return their paths."""
    forms: tuple[Form, ...] = ("kv", "embedding")
    paths = [folder / f"v1-{form}{SUFFIX}" for form in forms]
    for form, path in zip(forms, paths, strict=True):
        write_prompt(path, example_prompt(form))
    return paths


if __name__ == "__main__":
    build(Path(__file__).parent)
