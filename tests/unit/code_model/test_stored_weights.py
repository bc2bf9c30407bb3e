"""Quantised weights on the disk are those that rounding at load gives; nothing else is taken."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from code_model.block_quantisation import SCHEMES, Scheme, rounded
from code_model.decoder.loading import load_decoder
from code_model.decoder.quantised import dense_state
from code_model.language_model import ModelLoadError, Runtime
from code_model.loading import load_model
from code_model.model_choice import Engine, ModelChoice
from code_model.model_folder import read_model_folder
from code_model.stored_weights import full_weights, read_matrix, stored_weights
from code_model.team_server import TeamServer, served_name
from code_model.user_models import downloads_folder
from code_model.vllm_command import vllm_command
from pretraining import export

IDS = torch.arange(40)[None]


@pytest.fixture(params=SCHEMES)
def scheme(request: pytest.FixtureRequest) -> Scheme:
    return request.param


@pytest.fixture
def stored(tiny_model: Path, tmp_path: Path, scheme: Scheme) -> Path:
    """The tiny model, exported with its weights in the scheme."""
    full = load_decoder(read_model_folder(tiny_model)).llama
    export.export(full, tiny_model / "tokenizer.json", tmp_path / "stored", "tiny", scheme)
    return tmp_path / "stored"


def test_a_folder_of_quantised_weights_is_the_model_that_rounding_at_load_gives(
    tiny_model: Path, stored: Path, scheme: Scheme
) -> None:
    ours = load_model(stored)
    expected = load_model(ModelChoice(tiny_model, quantisation=scheme))
    assert ours.runtime == expected.runtime == Runtime("decoder", "float32", scheme)
    assert ours.weights_hash() == expected.weights_hash()
    logits, wanted = (each.llama.logits(each.llama(IDS)) for each in (ours, expected))
    assert logits.equal(wanted)
    assert ours.identity.model_fingerprint != expected.identity.model_fingerprint
    size, full = ((each / "model.safetensors").stat().st_size for each in (stored, tiny_model))
    assert size < 0.75 * full  # a matrix of a tiny model is one block wide


def test_as_floats_they_are_what_is_computed_with(stored: Path, scheme: Scheme) -> None:
    floats = full_weights(load_file(stored / "model.safetensors"), scheme)
    expected = dense_state(load_decoder(read_model_folder(stored)).llama)
    assert floats.keys() == expected.keys()
    assert all(floats[name].equal(tensor) for name, tensor in expected.items())


@given(rows=st.integers(1, 9), width=st.integers(1, 70), scheme=st.sampled_from(SCHEMES))
def test_every_number_and_scale_comes_back(rows: int, width: int, scheme: Scheme) -> None:
    weight = torch.randn(rows, width, generator=torch.Generator().manual_seed(width))
    found = read_matrix("m", stored_weights({"m": weight}, scheme), weight.shape, scheme)
    expected = rounded(weight, scheme)
    assert found.scheme == scheme
    assert found.numbers.equal(expected.numbers)
    assert found.scales.equal(expected.scales)


NAME = "model.layers.0.mlp.up_proj.weight"
BROKEN: dict[str, Callable[[dict[str, Tensor]], object]] = {
    "no scales": lambda tensors: tensors.pop(f"{NAME}_scale"),
    "no numbers": lambda tensors: tensors.pop(NAME),
    "no norm": lambda tensors: tensors.pop("model.norm.weight"),
    "another shape": lambda tensors: tensors.update({NAME: tensors[NAME][:, 1:].clone()}),
    "full weights": lambda tensors: tensors.update({NAME: tensors[NAME].float()}),
}


@pytest.mark.parametrize("engine", ["decoder", "transformers"])
@pytest.mark.parametrize("defect", BROKEN)
def test_a_file_that_lacks_something_is_refused(stored: Path, defect: str, engine: Engine) -> None:
    tensors = load_file(stored / "model.safetensors")
    BROKEN[defect](tensors)
    save_file(tensors, stored / "model.safetensors")
    with pytest.raises(ModelLoadError, match=r"do not match config\.json") as caught:
        load_model(ModelChoice(stored, engine=engine))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("engine", ["decoder", "transformers"])
def test_an_unknown_scheme_is_refused(stored: Path, engine: Engine) -> None:
    config = json.loads((stored / "config.json").read_text())
    config["quantization_config"]["scheme"] = "int3"
    (stored / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelLoadError, match="int3"):
        load_model(ModelChoice(stored, engine=engine))


def test_another_scheme_than_the_stored_one_is_refused(stored: Path, scheme: Scheme) -> None:
    other = "int4" if scheme == "int8" else "int8"
    with pytest.raises(ModelLoadError, match=f"stored in {scheme}; choose no other"):
        load_model(ModelChoice(stored, quantisation=other))


def test_a_team_server_computes_the_floats_of_the_same_model(stored: Path) -> None:
    """Editors with the stored weights and the server name one model, so prompts fit both."""
    folder = read_model_folder(stored)
    first, again = (vllm_command(folder).parts for _ in range(2))
    assert first == again
    written = Path(first[0].words[2])
    assert written.is_relative_to(downloads_folder())
    floats = load_file(written / "model.safetensors")
    expected = dense_state(load_decoder(folder).llama)
    assert all(floats[name].equal(tensor) for name, tensor in expected.items())
    assert "quantization_config" not in json.loads((written / "config.json").read_text())
    names = next(part.words for part in first if part.words[0] == "--served-model-name")
    assert served_name("model", folder.model_fingerprint) in names
    on_server = load_model(ModelChoice(stored, server=TeamServer("http://localhost:1")))
    assert on_server.identity == load_model(stored).identity


@pytest.mark.parametrize("spoil", [lambda file: file.write_bytes(b"cut"), Path.unlink])
def test_floats_that_cannot_be_written_are_a_sentence(
    stored: Path, spoil: Callable[[Path], object]
) -> None:
    spoil(stored / "model.safetensors")
    with pytest.raises(ModelLoadError, match="could not be written as floats"):
        vllm_command(read_model_folder(stored))
    assert not list(downloads_folder().rglob("*.safetensors"))
