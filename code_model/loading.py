"""The registry of engines: load the model of a folder with the engine that can compute it.

This is the only module outside of an engine's own folder that imports it (import-linter checks).
A new engine is one more branch in `load_model`.
"""

import os
from pathlib import Path

from code_model.decoder.loading import load_decoder
from code_model.language_model import LanguageModel, ModelLoadError, TunableModel
from code_model.model_folder import read_model_folder

DEFAULT = Path(__file__).parent / "default"
MODEL_VARIABLE = "ATTUNE_MODEL"


def model_folder(path: Path | None = None) -> Path:
    """The folder to load: `path`, else the one that ATTUNE_MODEL names, else the shipped model."""
    named = os.environ.get(MODEL_VARIABLE)
    return path or (Path(named) if named else DEFAULT)


def load_model(path: Path | None = None) -> LanguageModel:
    """The model of a folder (see `model_folder`), frozen.

    Raises `ModelLoadError` if a file is missing, damaged or not what an engine computes.
    """
    folder = model_folder(path)
    if not folder.is_dir():
        raise ModelLoadError(
            f"There is no model folder {folder}; point {MODEL_VARIABLE} to a folder with "
            "config.json, tokenizer.json and model.safetensors, or unset it."
        )
    return load_decoder(read_model_folder(folder))


def load_tunable_model(path: Path | None = None) -> TunableModel:
    """As `load_model`, for tuning. Raises `ModelLoadError` if the engine gives no gradients too."""
    model = load_model(path)
    if not isinstance(model, TunableModel):
        raise ModelLoadError(
            f"{model.name} runs on the engine {model.runtime.engine}, which cannot tune; point "
            f"{MODEL_VARIABLE} to a model in Hugging Face format."
        )
    return model
