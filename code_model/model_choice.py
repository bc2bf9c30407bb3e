"""The choice of a model: its files, and the engine, device and precision that compute it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

DEFAULT = Path(__file__).parent / "default"
"""The folder of the model that is shipped."""
MODEL_VARIABLE = "ATTUNE_MODEL"
"""Environment variable that overrides the model for one run."""

Engine = Literal["decoder", "transformers", "llama.cpp"]


@dataclass(frozen=True)
class ModelChoice:
    """A model folder or `.gguf` file, and what computes it. None stands for the best available.

    `device` and `precision` are torch's names ("cpu", "cuda:1"; "float32", "bfloat16");
    `quantisation` names a scheme of the engine for weights that are quantised while they load.
    """

    path: Path = DEFAULT
    engine: Engine | None = None
    device: str | None = None
    precision: str | None = None
    quantisation: str | None = None


def chosen_model() -> ModelChoice:
    """The model that ATTUNE_MODEL names, else the shipped one."""
    named = os.environ.get(MODEL_VARIABLE)
    return ModelChoice(Path(named)) if named else ModelChoice()
