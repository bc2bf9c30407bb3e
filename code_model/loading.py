"""Load a frozen causal model in Hugging Face format (safetensors, `tokenizer.json`)."""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from code_model.decoder.forward import BestForward
from code_model.decoder.llama import Llama, LlamaConfig, UnsupportedModelError
from code_model.fim import ATTUNE, LAYOUTS, QWEN_CODER, FimEncoder, FimLayout, LayoutError
from code_model.tokenizer import Tokenizer
from prompts.manifest import ModelIdentity

DEFAULT = Path(__file__).parent / "default"
MODEL_VARIABLE = "ATTUNE_MODEL"


class ModelLoadError(Exception):
    """The model cannot be used; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class BaseModel:
    """The frozen model with what belongs to it. No parameter takes a gradient."""

    name: str
    folder: Path
    model: Llama
    tokenizer: Tokenizer
    encoder: FimEncoder
    model_fingerprint: str
    tokenizer_fingerprint: str

    @cached_property
    def forward(self) -> BestForward:
        """The model's step over cached keys and values, one for all engines."""
        return BestForward(self.model)

    @property
    def layout(self) -> FimLayout:
        """The FIM layout that the model was trained with."""
        return self.encoder.layout

    @property
    def identity(self) -> ModelIdentity:
        """What a soft prompt is bound to."""
        config = self.model.config
        return ModelIdentity(
            name=self.name,
            model_fingerprint=self.model_fingerprint,
            tokenizer_fingerprint=self.tokenizer_fingerprint,
            layout_fingerprint=self.layout.fingerprint(),
            num_layers=config.num_hidden_layers,
            num_key_value_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            hidden_size=config.hidden_size,
        )


def model_folder(path: Path | None = None) -> Path:
    """The folder to load: `path`, else the one that ATTUNE_MODEL names, else the shipped model."""
    chosen = os.environ.get(MODEL_VARIABLE)
    return path or (Path(chosen) if chosen else DEFAULT)


def load_model(path: Path | None = None) -> BaseModel:
    """Load the model of a folder (see `model_folder`), in float32 on the CPU, frozen.

    Raises `ModelLoadError` if a file is missing, truncated or not what this engine computes.
    """
    folder = model_folder(path)
    if not folder.is_dir():
        raise ModelLoadError(
            f"There is no model folder {folder}; point {MODEL_VARIABLE} to a folder with "
            "config.json, tokenizer.json and model.safetensors, or unset it."
        )
    described = _json(folder / "config.json")
    try:
        config = LlamaConfig.from_hf(described)
    except (UnsupportedModelError, KeyError, TypeError, ValueError) as error:
        raise ModelLoadError(f"{folder.name}/config.json cannot be used: {error}.") from error
    tokenizer_file = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer(tokenizer_file)
    except Exception as error:  # the library raises plain Exception
        raise ModelLoadError(
            f"{tokenizer_file} is missing or damaged; get the model's files again."
        ) from error
    name, layout = _name_and_layout(folder, described)
    try:
        encoder = FimEncoder(tokenizer, layout)
    except LayoutError as error:
        raise ModelLoadError(f"{folder.name} cannot fill in the middle: {error}.") from error
    files = _weight_files(folder)
    model = _frozen(config, _weights(files))
    return BaseModel(
        name=name,
        folder=folder,
        model=model,
        tokenizer=tokenizer,
        encoder=encoder,
        model_fingerprint=_sha256([folder / "config.json", *files]),
        tokenizer_fingerprint=_sha256([tokenizer_file]),
    )


def weights_hash(model: Llama) -> str:
    """SHA-256 of all parameters: equal before and after means that the model stayed frozen."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _json(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelLoadError(
            f"{path} is missing or is not JSON; get the model's files again."
        ) from error
    if not isinstance(read, dict):
        raise ModelLoadError(f"{path} does not hold a JSON object; get the model's files again.")
    return read


def _name_and_layout(folder: Path, config: dict[str, Any]) -> tuple[str, FimLayout]:
    own = folder / "attune.json"
    if own.exists():
        described = _json(own)
        layout = LAYOUTS.get(str(described.get("layout")))
        if layout is None:
            known = ", ".join(sorted(LAYOUTS))
            raise ModelLoadError(f"{own} names an unknown FIM layout; known are: {known}.")
        return str(described.get("name", folder.name)), layout
    return folder.name, QWEN_CODER if config.get("model_type") == "qwen2" else ATTUNE


def _weight_files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return [folder / "model.safetensors"]
    mapped = _json(index).get("weight_map")
    if not isinstance(mapped, dict):
        raise ModelLoadError(f"{index} has no weight_map; get the model's files again.")
    names = sorted({str(name) for name in mapped.values()})
    if any(Path(name).name != name for name in names):
        raise ModelLoadError(f"{index} names files outside its folder; do not use this model.")
    return [folder / name for name in names]


def _weights(files: list[Path]) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 (not a mapping)
                    weights[name] = opened.get_tensor(name).float()
        except (OSError, SafetensorError) as error:
            raise ModelLoadError(
                f"{file} is missing or truncated; get the model's files again."
            ) from error
    return weights


def _frozen(config: LlamaConfig, weights: dict[str, Tensor]) -> Llama:
    model = Llama(config)
    if config.tie_word_embeddings:
        weights.pop("lm_head.weight", None)
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    for name in sorted(expected.keys() | weights.keys()):
        found = weights[name].shape if name in weights else None
        if expected.get(name) != found:
            raise ModelLoadError(
                f"The weights do not match config.json at {name} (found {found}, expected "
                f"{expected.get(name)}); the folder mixes two models."
            )
    model.load_state_dict(weights, assign=True)
    return model.requires_grad_(False).eval()


def _sha256(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()
