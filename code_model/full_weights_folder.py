"""Weights that are stored in 8 or 4 bits, as floats for a server that reads no others."""

import json
from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from code_model.language_model import ModelLoadError
from code_model.model_folder import QUANTISED_KEY, ModelFolder
from code_model.new_folder import new_folder
from code_model.stored_weights import full_weights, scheme_named
from code_model.user_models import downloads_folder


def full_weights_folder(folder: ModelFolder) -> Path:
    """A folder with the same config and the weights in float32.

    It lies among the models that Attune converted, named by the fingerprint, and is made once;
    another process that makes it is waited for. A folder of full weights is its own.

    Raises `ModelLoadError` if the weights cannot be read or written.
    """
    if folder.stored_scheme is None:
        return folder.path
    parent = downloads_folder() / "full-weights"
    config = {name: value for name, value in folder.config.items() if name != QUANTISED_KEY}
    try:
        made = parent / folder.model_fingerprint
        parent.mkdir(parents=True, exist_ok=True)
        with FileLock(parent / ".lock"):
            if made.exists():
                return made
            stored = {k: v for file in folder.weight_files for k, v in load_file(file).items()}
            full = full_weights(stored, scheme_named(folder.stored_scheme))
            with new_folder(made) as partial:
                save_file(full, partial / "model.safetensors", metadata={"format": "pt"})
                text = json.dumps({**config, "dtype": "float32"}, indent=2, sort_keys=True)
                (partial / "config.json").write_text(text + "\n", encoding="utf-8")
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelLoadError(
            f"The weights of {folder.name} could not be written as floats to {parent} ({error})."
        ) from error
    return made
