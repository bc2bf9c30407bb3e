"""A model folder that is missing, truncated or mixed up is refused in one sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from code_model.language_model import ModelLoadError, Runtime
from code_model.loading import MODEL_VARIABLE, load_model, require_packages
from code_model.model_choice import ModelChoice
from code_model.model_folder import read_model_folder


def edit(file: Path, change: Callable[[dict[str, object]], object]) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "config.json is missing"),
    "config is not JSON": (lambda f: (f / "config.json").write_text("{"), "is not JSON"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "JSON object"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "missing or truncated"),
    "cut weights": (lambda f: truncate(f / "model.safetensors"), "missing or truncated"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "missing or damaged"),
    "cut tokenizer": (lambda f: truncate(f / "tokenizer.json"), "missing or damaged"),
    "another architecture": (
        lambda f: edit(f / "config.json", lambda c: c.update(model_type="mamba")),
        "mamba",
    ),
    "another shape": (
        lambda f: edit(f / "config.json", lambda c: c.update(intermediate_size=50)),
        "mixes two models",
    ),
    "scaled positions": (
        lambda f: edit(
            f / "config.json",
            lambda c: c.update(rope_parameters={"rope_type": "yarn", "rope_theta": 1e4}),
        ),
        "cannot be used by transformers",  # which has them, but there is no factor
    ),
    "unknown template": (
        lambda f: edit(f / "attune.json", lambda c: c.update(layout="other")),
        "unknown FIM template",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder_is_refused(name: str, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    spoil, sentence = BROKEN[name]
    spoil(folder)
    with pytest.raises(ModelLoadError, match=sentence) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="no model folder"):
        load_model(tmp_path / "none")


@pytest.mark.parametrize("read", [load_model, read_model_folder])
def test_a_gguf_file_is_to_be_added(read: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelLoadError, match=r"a\.gguf is a GGUF file; add it with"):
        read(tmp_path / "a.gguf")


def test_one_setting_replaces_the_model(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODEL_VARIABLE, str(tiny_model))
    assert load_model().name == "tiny"


def test_fingerprints_follow_the_files(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    before = load_model(folder)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    after = load_model(folder)
    assert before.model_fingerprint != after.model_fingerprint
    assert before.tokenizer_fingerprint == after.tokenizer_fingerprint


def test_the_decoder_refuses_what_it_does_not_compute(tiny_model: Path) -> None:
    with pytest.raises(ModelLoadError, match="no precision bfloat16"):
        load_model(ModelChoice(tiny_model, engine="decoder", precision="bfloat16"))
    choice = ModelChoice(tiny_model, engine="decoder", device="cpu", precision="float32")
    assert load_model(choice).name == "tiny"


def test_the_engine_follows_from_what_is_asked(tiny_model: Path, tmp_path: Path) -> None:
    assert load_model(tiny_model).runtime.engine == "decoder"
    lower = load_model(ModelChoice(tiny_model, device="cpu", precision="bfloat16"))
    assert lower.runtime == Runtime("transformers", "bfloat16")
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    scaling = {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}
    edit(folder / "config.json", lambda c: c.update(rope_parameters=scaling))
    assert load_model(folder).runtime.engine == "transformers"


def test_an_engine_that_is_not_installed_names_its_extra() -> None:
    with pytest.raises(ModelLoadError, match=r"pip install 'attune\[hub\]'"):
        require_packages("transformers", "hub", "torch", "no_such_package")
    require_packages("transformers", "hub", "torch")
