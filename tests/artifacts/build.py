"""Build the golden prompt files of all format versions.

Run `python -m tests.artifacts.build` from the repository root, only for a new format version: the
files of a published version stay as they are, because every later release must read them.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import safetensors.numpy

from prompts.file import METADATA_KEY, SUFFIX, TENSOR_NAME, PromptFile, write_prompt
from prompts.form import Form
from prompts.manifest import Manifest, ModelIdentity

CREATED = "2026-01-02T03:04:05+00:00"
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
        recipe={"learning_rate": 0.02, "seed": 7, "steps": 300},
        measured={"bits_per_byte": {"no_prompt": 0.75, "prompt": 0.625}, "proven": True},
        licence="Apache-2.0",
        lineage=("5e" * 32,),
        attune_version="0.1.0",
    )
    rows, width = manifest.shape
    numbers = np.arange(rows * width, dtype=np.float32) / np.float32(4) - np.float32(1)
    return PromptFile(manifest, numbers.reshape(rows, width))


def full_prompt(form: Form = "kv") -> PromptFile:
    """Return the golden prompt with every optional field."""
    example = example_prompt(form)
    manifest = replace(
        example.manifest,
        task="tests",
        globs=("src/**", "!src/generated/**"),
        context={"max_header_tokens": 128, "sections": ["imports", "signatures"]},
        audit={"passed": True},
    )
    return PromptFile(manifest, example.embeddings)


def older_fields(manifest: Manifest) -> dict[str, object]:
    """Return the manifest as releases wrote it before format version 3."""
    fields = json.loads(manifest.to_json())
    del fields["content_sha256"]
    version = 2 if manifest.form == "kv-nope" else 1
    return dict(sorted((fields | {"format_version": version, "created": CREATED}).items()))


def older_bytes(prompt: PromptFile, **fields: object) -> bytes:
    """Return the file as an older release wrote it, with `fields` that this one does not have."""
    manifest = older_fields(prompt.manifest) | fields
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return safetensors.numpy.save({TENSOR_NAME: prompt.embeddings}, {METADATA_KEY: text})


def foreign_bytes() -> bytes:
    """Return the golden prompt as another writer may store it.

    bfloat16, its own order of keys, unescaped text, no padding, and keys of a later release.
    """
    example = example_prompt("embedding")
    fields = older_fields(example.manifest)
    later = {"created": CREATED, "a_later_field": {"of": "this version"}, "audit": None}
    manifest = json.dumps(dict(reversed(fields.items())) | later)
    tensor = (example.embeddings.view(np.uint32) >> 16).astype("<u2").tobytes()
    entry = {"data_offsets": [0, len(tensor)], "shape": [3, 4], "dtype": "BF16"}
    header = json.dumps(
        {TENSOR_NAME: entry, "__metadata__": {METADATA_KEY: manifest}}, ensure_ascii=False
    ).encode()
    return len(header).to_bytes(8, "little") + header + tensor


def build(folder: Path) -> list[Path]:
    """Write the golden files into `folder` and return their paths."""
    older = {
        "v1-kv": older_bytes(example_prompt("kv")),
        "v1-embedding": older_bytes(example_prompt("embedding")),
        "v1-full": older_bytes(full_prompt(), show_threshold=-1.25),
        "v1-foreign": foreign_bytes(),
        "v2-kv-nope": older_bytes(example_prompt("kv-nope")),
        "v2-full": older_bytes(full_prompt("kv-nope"), created=None),
    }
    written = {
        "v3-kv-nope": example_prompt("kv-nope"),
        "v3-kv": example_prompt("kv"),
        "v3-embedding": example_prompt("embedding"),
        "v3-full": full_prompt("kv-nope"),
    }
    for name, data in older.items():
        (folder / f"{name}{SUFFIX}").write_bytes(data)
    for name, prompt in written.items():
        write_prompt(folder / f"{name}{SUFFIX}", prompt)
    return [folder / f"{name}{SUFFIX}" for name in (*older, *written)]


if __name__ == "__main__":
    build(Path(__file__).parent)
