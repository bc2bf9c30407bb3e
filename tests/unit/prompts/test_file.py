"""Writing and reading back: equality, determinism, atomicity, independence from torch."""

import dataclasses
import errno
import hashlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from prompts import file
from prompts.errors import CorruptPrompt, NotAPromptFile, PromptWriteError
from prompts.file import (
    SUFFIX,
    PromptFile,
    copy_prompt,
    encode_prompt,
    install_prompt,
    parse_prompt,
    read_prompt,
    read_tensor,
    sha256_of,
    write_prompt,
)
from prompts.manifest import Manifest, ModelIdentity

NAMES = st.text(
    st.characters(categories=["L", "M", "N", "P", "S"], exclude_characters="/\\"), min_size=1
).filter(lambda name: name not in (".", ".."))
SHA256 = st.binary(min_size=32, max_size=32).map(bytes.hex)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
OBJECTS = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), SCALARS, max_size=4)
IDENTITIES = st.builds(
    ModelIdentity,
    name=NAMES,
    model_fingerprint=SHA256,
    tokenizer_fingerprint=SHA256,
    layout_fingerprint=SHA256,
    num_layers=st.integers(1, 3),
    num_key_value_heads=st.integers(1, 3),
    head_dim=st.integers(1, 4),
    hidden_size=st.integers(1, 9),
)
MANIFESTS = st.builds(
    Manifest,
    name=NAMES,
    form=st.sampled_from(["kv-nope", "kv", "embedding"]),
    num_virtual_tokens=st.integers(1, 4),
    model=IDENTITIES,
    languages=st.lists(NAMES, max_size=3).map(tuple),
    repository=st.just("") | NAMES,
    commit=st.none() | st.from_regex(r"[0-9a-f]{7,64}", fullmatch=True),
    recipe=OBJECTS,
    measured=st.fixed_dictionaries({"proven": st.booleans(), "scores": OBJECTS}),
    licence=st.none() | NAMES,
    lineage=st.lists(SHA256, max_size=3).map(tuple),
    attune_version=st.just("0.1.0"),
    task=st.none() | NAMES,
    globs=st.lists(NAMES, max_size=3).map(tuple),
    context=OBJECTS,
    audit=OBJECTS,
)


@st.composite
def prompt_files(draw: st.DrawFn) -> PromptFile:
    """Any small valid prompt; hypothesis keeps the numbers finite in float32."""
    manifest = draw(MANIFESTS)
    floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
    return PromptFile(manifest, draw(hnp.arrays(np.float32, manifest.shape, elements=floats)))


@settings(deadline=None, max_examples=50)  # each example waits for the disk four times
@given(prompt=prompt_files())
def test_write_then_read_gives_the_same_prompt(
    tmp_path_factory: pytest.TempPathFactory, prompt: PromptFile
) -> None:
    """Manifest and numbers survive exactly, and a second write gives the same bytes."""
    folder = tmp_path_factory.getbasetemp()
    first, second = folder / f"first{SUFFIX}", folder / f"second{SUFFIX}"
    digest = write_prompt(first, prompt)
    again = read_prompt(first)
    assert again.manifest == prompt.manifest
    assert again.embeddings.tobytes() == prompt.embeddings.tobytes()
    assert digest == write_prompt(second, again) == sha256_of(second)
    assert first.read_bytes() == second.read_bytes()
    assert digest == hashlib.sha256(first.read_bytes()).hexdigest()


def test_write_gives_the_same_bytes_in_every_process(
    builder: Any, kv_prompt: PromptFile, tmp_path: Path
) -> None:
    """Hash randomisation of another interpreter does not reach the file."""
    here = write_prompt(tmp_path / "here", kv_prompt)
    program = (
        "import runpy, sys; from pathlib import Path; from prompts.file import write_prompt;"
        "build = runpy.run_path(sys.argv[1]);"
        "print(write_prompt(Path(sys.argv[2]), build['example_prompt']('kv')))"
    )
    command = [sys.executable, "-c", program, builder.__file__, str(tmp_path / "there")]
    environment = {**os.environ, "PYTHONHASHSEED": "1234", "PYTHONPATH": os.pathsep.join(sys.path)}
    there = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_write_takes_a_non_contiguous_array(kv_prompt: PromptFile, tmp_path: Path) -> None:
    """The rows are written in order whatever the memory layout."""
    turned = np.asfortranarray(kv_prompt.embeddings)
    path = tmp_path / "p"
    assert write_prompt(path, PromptFile(kv_prompt.manifest, turned)) == write_prompt(
        path, kv_prompt
    )


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_read_widens_half_precision_exactly(artifacts: Path, tmp_path: Path, dtype: str) -> None:
    """F16 and BF16 files of other writers give the same float32 numbers."""
    golden = (artifacts / f"v1-kv{SUFFIX}").read_bytes()
    numbers = read_prompt(artifacts / f"v1-kv{SUFFIX}").embeddings
    n_bytes = numbers.size * 2
    header = golden[8 : -numbers.nbytes].replace(b'"F32"', f'"{dtype}"'.encode())
    header = header.replace(b"[0,96]", f"[0,{n_bytes}]".encode())
    narrow = (
        (numbers.view(np.uint32) >> 16).astype("<u2") if dtype == "BF16" else numbers.astype("<f2")
    )
    path = tmp_path / "half"
    path.write_bytes(len(header).to_bytes(8, "little") + header + narrow.tobytes())
    np.testing.assert_array_equal(read_prompt(path).embeddings, numbers, strict=True)


def test_read_gives_a_writable_array(artifacts: Path) -> None:
    """`torch.from_numpy` takes the array without a warning and without a copy."""
    assert read_prompt(artifacts / f"v1-kv{SUFFIX}").embeddings.flags.writeable


def check_not_written(path: Path, prompt: PromptFile, words: str) -> None:
    """Assert that writing fails in one sentence and leaves the folder as it was."""
    before = {entry: entry.read_bytes() for entry in path.parent.iterdir()}
    with pytest.raises(PromptWriteError, match=words) as caught:
        write_prompt(path, prompt)
    assert str(caught.value).endswith(".")
    assert {entry: entry.read_bytes() for entry in path.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("embeddings", "words"),
    [
        (np.zeros((3, 8), np.float64), "float64"),
        (np.zeros((3, 8), ">f4"), "give float32"),
        (np.zeros((8, 3), np.float32), r"give float32 \(3, 8\)"),
        (np.full((3, 8), np.nan, np.float32), "not all finite"),
        (np.full((3, 8), np.inf, np.float32), "not all finite"),
    ],
)
def test_write_refuses_wrong_embeddings(
    kv_prompt: PromptFile, tmp_path: Path, embeddings: Any, words: str
) -> None:
    """Nothing is written that could not be read back."""
    check_not_written(tmp_path / "p", PromptFile(kv_prompt.manifest, embeddings), words)


def test_write_refuses_an_invalid_manifest(kv_prompt: PromptFile, tmp_path: Path) -> None:
    """The manifest is held to the reader's rules."""
    manifest = dataclasses.replace(kv_prompt.manifest, repository="/home/someone/project")
    check_not_written(
        tmp_path / "p", PromptFile(manifest, kv_prompt.embeddings), "field repository must be"
    )


class _FullDisk(io.FileIO):
    """A file on a disk that fills up after ten bytes."""

    def write(self, data: Any) -> NoReturn:
        super().write(bytes(data)[:10])
        raise OSError(errno.ENOSPC, "No space left on device")


def test_write_on_a_full_disk_keeps_the_old_file(
    kv_prompt: PromptFile,
    embedding_prompt: PromptFile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A half-written temporary file is removed and the prompt before is untouched."""
    path = tmp_path / f"p{SUFFIX}"
    write_prompt(path, kv_prompt)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda self, mode: _FullDisk(self, mode))
        with pytest.raises(PromptWriteError, match="No space left on device"):
            write_prompt(path, embedding_prompt)
    assert list(tmp_path.iterdir()) == [path]
    assert read_prompt(path).manifest == kv_prompt.manifest


@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_write_that_fails_late_keeps_the_old_file(
    kv_prompt: PromptFile,
    embedding_prompt: PromptFile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    """Failure at any step before the rename leaves no trace."""
    path = tmp_path / f"p{SUFFIX}"
    write_prompt(path, kv_prompt)

    def fail(*_: object) -> NoReturn:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, step, fail)
    check_not_written(path, embedding_prompt, "Input/output error")


def test_write_interrupted_leaves_no_temporary_file(
    kv_prompt: PromptFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C goes through as itself, after the clean-up."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_prompt(tmp_path / "p", kv_prompt)
    assert list(tmp_path.iterdir()) == []


def test_write_survives_a_folder_that_cannot_be_synced(
    kv_prompt: PromptFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems refuse to sync a folder; the file is whole all the same."""

    def refuse(*_: object) -> NoReturn:
        raise OSError(errno.EINVAL, "Invalid argument")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        digest = write_prompt(tmp_path / "p", kv_prompt)
    assert digest == sha256_of(tmp_path / "p")


def test_write_into_a_missing_folder(kv_prompt: PromptFile, tmp_path: Path) -> None:
    """The sentence names the path and what to check."""
    with pytest.raises(PromptWriteError, match=r"No such file.*check the folder"):
        write_prompt(tmp_path / "absent" / "p", kv_prompt)


def test_write_onto_a_folder(kv_prompt: PromptFile, tmp_path: Path) -> None:
    """A folder at the path is left alone, and so is its parent."""
    (tmp_path / "p").mkdir()
    with pytest.raises(PromptWriteError, match="could not be written"):
        write_prompt(tmp_path / "p", kv_prompt)
    assert list(tmp_path.iterdir()) == [tmp_path / "p"]


def test_a_copy_is_verified_and_has_the_same_bytes(kv_prompt: PromptFile, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    digest = write_prompt(source, kv_prompt)
    copied = copy_prompt(source, target)
    assert (copied.manifest, copied.sha256) == (kv_prompt.manifest, digest)
    assert target.read_bytes() == source.read_bytes()
    data = source.read_bytes()
    source.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    sentence = f"{source}: The prompt file was changed: its numbers or its manifest are not those"
    with pytest.raises(CorruptPrompt, match=f"^{re.escape(sentence)} that were written;"):
        copy_prompt(source, target)
    assert target.read_bytes() == data, "what was there stays"


def test_bytes_are_verified_before_they_are_installed(
    kv_prompt: PromptFile, tmp_path: Path
) -> None:
    """Errors name where the bytes came from."""
    target, data = tmp_path / "target", encode_prompt(kv_prompt)
    with pytest.raises(NotAPromptFile, match=r"^the registry: The file does not begin with a"):
        install_prompt(b"no prompt", target, "the registry")
    assert not target.exists()
    assert install_prompt(data, target, "the registry").manifest == kv_prompt.manifest
    assert target.read_bytes() == data
    assert parse_prompt(data, "a").sha256 == hashlib.sha256(data).hexdigest()


def test_a_tensor_without_a_manifest(tmp_path: Path) -> None:
    """As PEFT writes it: of one shape, finite, and the only one."""
    path, numbers = tmp_path / "adapter", np.arange(6, dtype=np.float32).reshape(2, 3)

    def write(**tensors: np.ndarray) -> None:
        safetensors.numpy.save_file(tensors, path, {"format": "pt"})

    write(prompt_embeddings=numbers)
    assert np.array_equal(read_tensor(path, (2, 3)), numbers)
    with pytest.raises(CorruptPrompt, match="must have the shape"):
        read_tensor(path, (3, 2))
    write(prompt_embeddings=np.where(numbers == 5, np.inf, numbers).astype(np.float32))
    with pytest.raises(CorruptPrompt, match=r"^[^:]*: The prompt file holds numbers that are not"):
        read_tensor(path, (2, 3))
    for tensors in ({"other": numbers}, {"prompt_embeddings": numbers, "other": numbers}):
        write(**tensors)
        with pytest.raises(CorruptPrompt, match="must hold one tensor, prompt_embeddings"):
            read_tensor(path, (2, 3))


def test_a_prompt_that_would_be_too_large_is_not_written(
    kv_prompt: PromptFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(encode_prompt(kv_prompt))
    monkeypatch.setattr(file, "MAX_FILE_BYTES", size)
    assert len(encode_prompt(kv_prompt)) == size
    monkeypatch.setattr(file, "MAX_FILE_BYTES", size - 1)
    words = f"it takes {size} bytes of the {size - 1} allowed; tune again with fewer"
    with pytest.raises(PromptWriteError, match=words):
        write_prompt(tmp_path / "p", kv_prompt)


def test_sha256_of_missing_file(tmp_path: Path) -> None:
    """Reading errors are the same everywhere."""
    with pytest.raises(NotAPromptFile, match=r"cannot be read \(No such file"):
        sha256_of(tmp_path / "absent")


def test_package_does_not_load_torch() -> None:
    """The server lists prompts before the model is loaded, so the package stays light."""
    program = "import prompts.file, sys; assert not {'torch', 'transformers'} & set(sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
