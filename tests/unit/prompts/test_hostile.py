"""Files made to mislead or to crash the reader are refused with a `PromptError`, never more."""

import contextlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
from hypothesis import given, settings
from hypothesis import strategies as st

from prompts.errors import CorruptPrompt, NotAPromptFile, PromptError, UnsupportedVersion
from prompts.file import (
    MAX_FILE_BYTES,
    MAX_HEADER_BYTES,
    SUFFIX,
    PromptFile,
    read_manifest,
    read_prompt,
)


@pytest.fixture(scope="session")
def golden(artifacts: Path) -> bytes:
    """The bytes of the golden kv file."""
    return (artifacts / f"v1-kv{SUFFIX}").read_bytes()


def split(golden: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header, as a dict to break, and the tensor bytes of a file."""
    end = 8 + int.from_bytes(golden[:8], "little")
    header: dict[str, Any] = json.loads(golden[8:end])
    return header, golden[end:]


def join(header: dict[str, Any] | str | bytes, payload: bytes) -> bytes:
    """Return a file with this header, right or wrong, and the length that belongs to it."""
    if isinstance(header, dict):
        header = json.dumps(header)
    if isinstance(header, str):
        header = header.encode()
    return len(header).to_bytes(8, "little") + header + payload


def check_refused(path: Path, data: bytes, error: type[PromptError], words: str) -> None:
    """Assert that both readers refuse `data` in one sentence that names the file."""
    path.write_bytes(data)
    for read in (read_prompt, read_manifest):
        with pytest.raises(error, match=words) as caught:
            read(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert message.endswith(".")
        assert "\n" not in message
        assert len(message) < len(str(path)) + 300


def test_truncated_at_every_length(golden: bytes, tmp_path: Path) -> None:
    """A download that stopped anywhere is noticed."""
    path = tmp_path / "cut"
    for length in range(len(golden)):
        path.write_bytes(golden[:length])
        for read in (read_prompt, read_manifest):
            with pytest.raises(NotAPromptFile if length < 8 else CorruptPrompt):
                read(path)


@settings(deadline=None)
@given(edits=st.dictionaries(st.integers(0, 10_000), st.integers(0, 255), min_size=1, max_size=3))
def test_changed_bytes_raise_only_prompt_errors(
    tmp_path_factory: pytest.TempPathFactory, golden: bytes, edits: dict[int, int]
) -> None:
    """What Attune still accepts after damage, the safetensors library accepts too."""
    data = bytearray(golden)
    for place, value in edits.items():
        data[place % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "changed"
    path.write_bytes(data)
    with contextlib.suppress(PromptError):
        embeddings = read_prompt(path).embeddings
        with safetensors.safe_open(path, framework="numpy") as reference:
            np.testing.assert_array_equal(reference.get_tensor("prompt_embeddings"), embeddings)


@settings(deadline=None)
@given(data=st.binary(max_size=200))
def test_random_bytes_raise_only_prompt_errors(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """Noise, with and without a plausible header length, is refused."""
    path = tmp_path_factory.getbasetemp() / "noise"
    for candidate in (data, join(data, b"")):
        path.write_bytes(candidate)
        with pytest.raises(PromptError):
            read_prompt(path)


@pytest.mark.parametrize(
    ("start", "error", "words"),
    [
        (b"", NotAPromptFile, "does not begin with a safetensors header"),
        (b"\xff" * 8 + b"{}", NotAPromptFile, "does not begin"),
        ((MAX_HEADER_BYTES + 1).to_bytes(8, "little"), NotAPromptFile, "does not begin"),
        (MAX_HEADER_BYTES.to_bytes(8, "little") + b"{}", CorruptPrompt, "cut short"),
        (b"PK\x03\x04" + bytes(26), NotAPromptFile, "does not begin"),
        (b"<!DOCTYPE html>", NotAPromptFile, "does not begin"),
        (b"version https://git-lfs.github.com/spec/v1\n", NotAPromptFile, "git lfs pull"),
        (join("", b""), NotAPromptFile, "invalid JSON"),
        (join("[]", b""), NotAPromptFile, "not a JSON object"),
        (join(b"\xff{}", b""), NotAPromptFile, "not UTF-8"),
        (join("{" * 100_000, b""), NotAPromptFile, "invalid JSON"),
        (join("[" * 100_000, b""), NotAPromptFile, "deeper than 16"),
        (join('{"a":NaN}', b""), NotAPromptFile, "NaN"),
        (join('{"a":1,"a":2}', b""), NotAPromptFile, "duplicate key"),
        (join("{}", b""), NotAPromptFile, "without Attune's manifest"),
        (join('{"__metadata__":[]}', b""), NotAPromptFile, "without Attune's manifest"),
        (join('{"__metadata__":{"attune":1}}', b""), NotAPromptFile, "without Attune's manifest"),
        (join('{"__metadata__":{"attune":"{"}}', b""), CorruptPrompt, "invalid JSON"),
        (join('{"__metadata__":{"format":"pt"}}', b""), NotAPromptFile, "without Attune's"),
    ],
)
def test_not_a_prompt(tmp_path: Path, start: bytes, error: type[PromptError], words: str) -> None:
    """Other files, and headers that lie about themselves, say what they are."""
    check_refused(tmp_path / "file", start, error, words)


def test_header_must_start_with_a_brace(golden: bytes, tmp_path: Path) -> None:
    """The safetensors specification asks for it."""
    header, payload = split(golden)
    check_refused(tmp_path / "f", join(" " + json.dumps(header), payload), NotAPromptFile, "object")


def test_duplicated_keys_in_header(golden: bytes, tmp_path: Path) -> None:
    """A second tensor entry under one name could hide the first from another reader."""
    header, payload = split(golden)
    entry = json.dumps(header["prompt_embeddings"])
    text = json.dumps(header)[:-1] + f',"prompt_embeddings":{entry}}}'
    check_refused(tmp_path / "f", join(text, payload), NotAPromptFile, "duplicate key")


@pytest.mark.parametrize("payload_change", [b"\0", bytes(96)])
def test_trailing_bytes(golden: bytes, tmp_path: Path, payload_change: bytes) -> None:
    """Nothing may hide behind the tensor."""
    check_refused(tmp_path / "f", golden + payload_change, CorruptPrompt, "nothing else")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data_offsets": [0, 95]}, "nothing else"),
        ({"data_offsets": [0, 97]}, "nothing else"),
        ({"data_offsets": [8, 104]}, "nothing else"),
        ({"data_offsets": [96, 0]}, "nothing else"),
        ({"data_offsets": [0.0, 96.0]}, "data_offsets.0 must be a whole number"),
        ({"data_offsets": [False, 96]}, "data_offsets.0 must be"),
        ({"data_offsets": [0, 96, 96]}, "data_offsets must have at most 2"),
        ({"data_offsets": None}, "data_offsets must be a list"),
        ({"data_offsets": {"0": 96}}, "data_offsets must be a list"),
        ({"shape": [8, 3]}, "shape"),
        ({"shape": [24]}, "shape"),
        ({"shape": [3, 8, 1]}, "shape"),
        ({"shape": [3.0, 8.0]}, "shape"),
        ({"shape": [2**62, 2**62]}, "shape"),
        ({"shape": [-3, -8]}, "shape"),
        ({"shape": "38"}, "shape"),
        ({"dtype": "F64"}, "dtype must be 'F32', 'F16' or 'BF16'"),
        ({"dtype": "I32"}, "dtype must be 'F32', 'F16' or 'BF16'"),
        ({"dtype": "f32"}, "dtype must be 'F32', 'F16' or 'BF16'"),
        ({"dtype": ["F32"]}, "dtype must be 'F32', 'F16' or 'BF16'"),
        ({"dtype": "F16"}, "nothing else"),
        ({"dtype": "BF16"}, "nothing else"),
        ({"stride": 1}, "stride is not a known key"),
    ],
)
def test_wrong_tensor_entry(
    golden: bytes, tmp_path: Path, change: dict[str, object], words: str
) -> None:
    """The entry must describe exactly the bytes that follow and the shape the manifest implies."""
    header, payload = split(golden)
    header["prompt_embeddings"].update(change)
    check_refused(tmp_path / "f", join(header, payload), CorruptPrompt, words)


def test_missing_tensor_fields(golden: bytes, tmp_path: Path) -> None:
    """An entry without its fields is damage, and so is no entry at all."""
    values: list[object] = [{}, {"dtype": "F32"}, [], None]
    for value in values:
        header, payload = split(golden)
        header["prompt_embeddings"] = value
        check_refused(tmp_path / "f", join(header, payload), CorruptPrompt, "wrong tensor entry")
    header, payload = split(golden)
    del header["prompt_embeddings"]
    check_refused(tmp_path / "f", join(header, payload), CorruptPrompt, "one tensor")


@pytest.mark.parametrize("offsets", [[96, 104], [0, 96], [0, 0]])
def test_extra_tensor(golden: bytes, tmp_path: Path, offsets: list[int]) -> None:
    """A second tensor is refused: behind the first, over it, or empty."""
    header, payload = split(golden)
    header["extra"] = {"dtype": "F32", "shape": [2], "data_offsets": offsets}
    check_refused(tmp_path / "f", join(header, payload + bytes(8)), CorruptPrompt, "one tensor")


def test_extra_metadata_key(golden: bytes, tmp_path: Path) -> None:
    """With several keys the bytes would not be reproducible."""
    header, payload = split(golden)
    header["__metadata__"]["format"] = "pt"
    check_refused(tmp_path / "f", join(header, payload), CorruptPrompt, "one metadata key")


def test_manifest_of_another_shape(golden: bytes, tmp_path: Path) -> None:
    """Manifest and tensor must agree."""
    for n_tokens in (4, 4096):
        header, payload = split(golden)
        manifest = json.loads(header["__metadata__"]["attune"])
        manifest["num_virtual_tokens"] = n_tokens
        header["__metadata__"]["attune"] = json.dumps(manifest)
        check_refused(tmp_path / "f", join(header, payload), CorruptPrompt, "must have the shape")


def test_claim_of_the_largest_shape_is_refused_before_allocation(
    golden: bytes, tmp_path: Path
) -> None:
    """Manifest and header may agree on petabytes; the file's size tells otherwise."""
    header, payload = split(golden)
    manifest = json.loads(header["__metadata__"]["attune"])
    manifest["num_virtual_tokens"] = 4096
    manifest["model"].update(num_layers=1024, num_key_value_heads=1024, head_dim=4096)
    width = 2 * 1024 * 1024 * 4096
    header["__metadata__"]["attune"] = json.dumps(manifest)
    header["prompt_embeddings"].update(shape=[4096, width], data_offsets=[0, 4096 * width * 4])
    check_refused(tmp_path / "f", join(header, payload), CorruptPrompt, "nothing else")


def test_later_version_is_named_before_anything_else(golden: bytes, tmp_path: Path) -> None:
    """A later version may hold other tensors and keys, and is still not called damaged."""
    header, payload = split(golden)
    header["__metadata__"] = {"attune": '{"format_version":4}', "more": "text"}
    header["values"] = header.pop("prompt_embeddings")
    data = join(header, payload)
    check_refused(tmp_path / "f", data, UnsupportedVersion, "update Attune")


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, -4])
def test_numbers_that_are_not_finite(
    golden: bytes, tmp_path: Path, number: float, place: int
) -> None:
    """One bad number anywhere would poison every completion; the header alone still reads."""
    header, payload = split(golden)
    values = bytearray(payload)
    place %= len(values)
    values[place : place + 4] = np.float32(number).tobytes()
    path = tmp_path / "f"
    path.write_bytes(join(header, bytes(values)))
    with pytest.raises(CorruptPrompt, match="not finite"):
        read_prompt(path)
    assert read_manifest(path).name == "example"


def test_file_over_the_size_limit(tmp_path: Path) -> None:
    """A huge (here sparse) file is refused without being read."""
    path = tmp_path / "f"
    with path.open("wb") as stream:
        stream.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(NotAPromptFile, match="larger than"):
        read_prompt(path)


def test_file_that_shrinks_while_it_is_read(
    golden: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size is checked once, so the tensor must still be there when it is read."""
    path = tmp_path / "f"
    path.write_bytes(golden[:-4])
    whole = os.stat_result([stat.S_IFREG, *[0] * 5, len(golden), *[0] * 3])
    monkeypatch.setattr(os, "fstat", lambda _: whole)
    with pytest.raises(CorruptPrompt, match="changed while it was read"):
        read_prompt(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    """The sentence says what stands at the path."""
    with pytest.raises(NotAPromptFile, match="No such file"):
        read_prompt(tmp_path / "absent")
    with pytest.raises(NotAPromptFile, match="it is a folder, a pipe or a device"):
        read_prompt(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="named pipes are a POSIX matter")
def test_named_pipe_does_not_block(tmp_path: Path) -> None:
    """Opening a pipe would wait for a writer for ever."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(NotAPromptFile, match="it is a folder, a pipe or a device"):
        read_manifest(path)


def test_unreadable_file(kv_prompt: PromptFile, tmp_path: Path, monkeypatch: Any) -> None:
    """Permission errors are told as such (simulated, because root may read everything)."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "f"
    path.write_bytes(b"")
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(NotAPromptFile, match=r"cannot be read \(Permission denied\)"):
        read_prompt(path)


@pytest.mark.slow
def test_mutated_files_give_documented_errors_only() -> None:
    """In a process of its own, whose memory and CPU time are watched."""
    command = [sys.executable, "-m", "tests.unit.prompts.fuzz", "4000", "1"]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout)["seen"]
    assert seen.keys() == {"read", "NotAPromptFile", "UnsupportedVersion", "CorruptPrompt"}
