"""From a GGUF file to a model folder, and what is refused on the way."""

import os
from pathlib import Path

import gguf
import numpy as np
import pytest

from benchmarks.gguf_export import export_gguf
from code_model import llama_cpp_library
from code_model.compatibility import form_to_tune
from code_model.decoder.model import DecoderModel
from code_model.gguf_folder import dequantise, make_model_folder
from code_model.language_model import ModelLoadError
from code_model.llama_cpp.model import LlamaCppModel
from code_model.loading import load_for_tuning, load_model, load_tunable_model
from code_model.model_choice import ModelChoice
from code_model.model_folder import read_model_folder
from prompts.errors import IncompatiblePrompt
from tests.conftest import TEXT

pytest.importorskip("llama_cpp")

LAYOUT = "attune"
"""Of a tokenizer whose tokens are those of several families."""


@pytest.fixture(scope="module")
def file(base: DecoderModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a GGUF file with its vocabulary."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    export_gguf(base.llama, path, full=True, tokenizer=base.folder / "tokenizer.json")
    return path


@pytest.fixture(scope="module")
def folder(file: Path) -> Path:
    path = file.parent / "folder"
    make_model_folder(file, path, "tiny-gguf", LAYOUT)
    return path


def test_weights_are_dequantised_for_tuning(folder: Path) -> None:
    for written in ("model.safetensors", "dequantised.json"):
        (folder / written).unlink(missing_ok=True)
    for _ in range(2):  # made, and found
        model = load_tunable_model(folder)
        assert isinstance(model, DecoderModel)
    assert isinstance(load_model(folder), LlamaCppModel)  # which still serves


def test_a_form_that_will_not_serve_costs_no_work(folder: Path) -> None:
    """Nothing is dequantised for it; the form that is tuned by default is one that serves."""
    for written in ("model.safetensors", "dequantised.json"):
        (folder / written).unlink(missing_ok=True)
    with pytest.raises(IncompatiblePrompt, match=r"the form kv-nope .* rotates .* --form kv\."):
        load_for_tuning(folder, "kv-nope")
    assert not (folder / "model.safetensors").exists()
    model, served = load_for_tuning(folder)
    assert isinstance(model, DecoderModel)
    assert [form_to_tune(each, None) for each in (served, model)] == ["kv", "kv-nope"]


def test_nothing_is_written_to_stderr_meanwhile(
    file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """There are sentences and progress for programs to read, and transformers has bars."""
    made = tmp_path / "folder"
    make_model_folder(file, made, layout=LAYOUT)
    dequantise(made)
    load_model(ModelChoice(made, engine="transformers"))
    assert capfd.readouterr() == ("", "")


def test_what_a_killed_process_left_is_removed(file: Path, tmp_path: Path) -> None:
    """At once where a lock says that nobody works there, else when it is old."""
    old, new = tmp_path / "folder.partial-1", tmp_path / "folder.partial-2"
    for leftover in (old, new):
        leftover.mkdir()
        (leftover / "tokenizer.json").write_text("{")
    for path in (old / "tokenizer.json", old):
        os.utime(path, (1.0, 1.0))
    made = tmp_path / "folder"
    make_model_folder(file, made, layout=LAYOUT)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["folder", new.name]
    (made / "partial-x").mkdir()
    (made / "partial-x" / "model.safetensors").write_bytes(b"half")
    dequantise(made)
    assert not list(made.glob("partial-*"))


def test_weights_without_their_record_are_written_again(folder: Path) -> None:
    load_tunable_model(folder)
    (folder / "dequantised.json").unlink()  # as after a kill in between
    assert isinstance(load_tunable_model(folder), DecoderModel)


def test_the_file_becomes_a_model(folder: Path, base: DecoderModel) -> None:
    model = load_model(folder)
    assert isinstance(model, LlamaCppModel)
    assert model.name == "tiny-gguf"
    ids = model.tokenizer.encode(TEXT)
    assert model.weights.tokenize(TEXT) == ids
    assert model.tokenizer.decode(ids) == TEXT
    generated = model.open().generate(ids[:40], max_new_tokens=8)
    assert generated.ids


def test_dequantised_weights_are_those_of_the_file(folder: Path, base: DecoderModel) -> None:
    served = load_model(ModelChoice(folder, engine="llama.cpp"))
    dequantise(folder)
    decoder = load_model(ModelChoice(folder, engine="decoder"))
    assert isinstance(decoder, DecoderModel)
    own = base.llama.state_dict()
    for name, weight in decoder.llama.state_dict().items():
        assert weight.equal(own[name]), name
    # so a prompt that was tuned with these weights serves in front of the GGUF file
    assert decoder.identity == served.identity


def test_other_weights_are_not_taken_for_the_files(folder: Path, tmp_path: Path) -> None:
    dequantise(folder)
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        with pytest.raises(ModelLoadError, match="mixes two models"):
            load_model(ModelChoice(folder, engine="decoder"))
    finally:
        weights.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda data: data[:-64], "is cut short"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "its SHA-256 differs"),
        (lambda data: None, "is gone"),
    ],
)
def test_a_file_that_changed_is_refused(file: Path, tmp_path: Path, damage, sentence: str) -> None:
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(file.read_bytes())
    make_model_folder(copy, tmp_path / "folder", layout=LAYOUT)
    data = damage(copy.read_bytes())
    copy.unlink()
    if data is not None:
        copy.write_bytes(data)
    with pytest.raises(ModelLoadError, match=sentence):
        load_model(tmp_path / "folder")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda data: b"PK\3\4" + data[4:], "is not a GGUF file"),
        (lambda data: data[:-1000], "not within the file bounds"),
        (lambda data: data[:2000], "failed to read"),
        (lambda data: data[:4] + b"\xff" * 8 + data[12:], "does not load"),
    ],
)
def test_a_damaged_file_makes_no_folder(file: Path, tmp_path: Path, damage, sentence: str) -> None:
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ModelLoadError, match=sentence):
        make_model_folder(copy, tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["copy.gguf"]


def metadata_only(path: Path, architecture: str, **metadata: int) -> Path:
    """A GGUF file with a vocabulary and the metadata of an architecture, without its weights."""
    writer = gguf.GGUFWriter(str(path), architecture)
    for key, number in metadata.items():
        writer.add_uint32(f"{architecture}.{key.replace('__', '.')}", number)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([chr(33 + n) for n in range(64)])
    writer.add_token_merges(['! "'])
    writer.add_tensor("token_embd.weight", np.zeros((64, 8), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(
    ("architecture", "metadata", "sentence"),
    [
        ("gemma3", {"attention__sliding_window": 512}, "sliding-window attention .512 tokens"),
        ("mamba", {"ssm__state_size": 16}, "recurrent layers"),
        ("plamo", {}, "which transformers does not read"),
    ],
)
def test_what_cannot_serve_prompts_is_refused_by_its_metadata(
    tmp_path: Path, architecture: str, metadata: dict[str, int], sentence: str
) -> None:
    file = metadata_only(tmp_path / "model.gguf", architecture, **metadata)
    with pytest.raises(ModelLoadError, match=sentence):
        make_model_folder(file, tmp_path / "folder")


def test_a_tokenizer_that_is_not_converted_exactly_is_refused(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_cpp_library.Weights, "tokenize", lambda self, text: [1, 2, 3])
    with pytest.raises(ModelLoadError, match="could not be converted exactly"):
        make_model_folder(file, tmp_path / "folder")


def test_a_model_larger_than_the_memory_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"total": 1000})())
    with pytest.raises(ModelLoadError, match=r"takes .* GB and this machine has"):
        load_model(ModelChoice(folder, engine="llama.cpp"))


def test_a_folder_without_a_file_is_for_other_engines(tiny_model: Path) -> None:
    with pytest.raises(ModelLoadError, match="names no GGUF file"):
        load_model(ModelChoice(tiny_model, engine="llama.cpp"))


def test_the_fingerprint_of_the_folder_is_the_files(folder: Path) -> None:
    dequantise(folder)
    source = read_model_folder(folder).gguf
    assert source is not None
    assert read_model_folder(folder).model_fingerprint == source.sha256
