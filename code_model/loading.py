"""The registry of engines: load a model with the engine that can compute it.

This is the only module outside of an engine's own folder that imports it (import-linter checks),
and only when it loads a model with it. A new engine is one more function in `_LOADERS` and in
`_CHECKS`, and one more case in `best_engine`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from code_model.compatibility import form_to_tune
from code_model.gguf_folder import dequantise, is_dequantised
from code_model.language_model import LanguageModel, ModelLoadError, TunableModel
from code_model.memory import BYTES, check_fits, weights_in
from code_model.model_choice import DEFAULT, Engine, ModelChoice
from code_model.model_folder import ModelFolder, read_model_folder
from code_model.model_resolution import MODEL_VARIABLE, resolve_model
from code_model.team_server import TeamServer
from prompts.form import Form

__all__ = ["DEFAULT", "MODEL_VARIABLE", "load_model", "load_tunable_model"]

DECODER_DEVICES: Final = (None, "cpu")
DECODER_PRECISIONS: Final = (None, "float32")
"""What a choice may ask for of our own decoder; its quantisations are those of `QUANTISATIONS`."""
LARGE_BYTES: Final = 500_000_000
"""Weights from which on a GPU, where there is one, computes a model that names no device."""


def load_model(choice: ModelChoice | Path | None = None) -> LanguageModel:
    """The model of a choice, frozen. A path alone is a choice; None is that of `resolve_model()`.

    Raises `ModelLoadError` if a file is missing, damaged, changed or not what the engine computes,
    or if the engine is not installed.
    """
    choice = _choice(choice)
    folder = read_model_folder(choice.path, _recorded_hashes(choice), choice.layout)
    if choice.server is not None:
        return _load_vllm(folder, choice.server)
    engine = choice.engine or best_engine(folder, choice)
    load = _LOADERS.get(engine)
    if load is None:
        raise ModelLoadError(
            f"This Attune has no engine {engine}; choose one of {', '.join(_LOADERS)}."
        )
    return load(folder, choice)


def check_choice(choice: ModelChoice) -> None:
    """Raise `ModelLoadError` if this machine or the engine cannot compute as the choice says.

    Reads no weights. A package that is not installed yet is no error here.
    """
    folder = read_model_folder(choice.path, layout=choice.layout)
    check = _CHECKS.get(choice.engine or best_engine(folder, choice))
    if check is not None:
        check(choice)


def load_tunable_model(choice: ModelChoice | Path | None = None) -> TunableModel:
    """As `load_model`, for tuning. Raises `ModelLoadError` if the engine gives no gradients too.

    Of a GGUF file, it is the same weights dequantised, which are written beside it the first time.
    """
    model = load_model(_dequantised(_choice(choice).without_server))
    if not isinstance(model, TunableModel):
        raise ModelLoadError(
            f"{model.name} runs on the engine {model.runtime.engine}, which cannot tune; choose "
            "the same model in Hugging Face format."
        )
    return model


def load_for_tuning(
    choice: ModelChoice | Path | None = None, form: Form | None = None
) -> tuple[TunableModel, LanguageModel]:
    """The model that tunes and the one that serves: the same, but for a GGUF file.

    The one that serves is loaded first, so that a `form` that it refuses, or any if it refuses all,
    costs no more work. Raises `ModelLoadError` and `prompts.errors.IncompatiblePrompt`.
    """
    choice = _choice(choice).without_server
    served = load_model(choice)
    form_to_tune(served, form)
    return served if isinstance(served, TunableModel) else load_tunable_model(choice), served


def best_engine(folder: ModelFolder, choice: ModelChoice) -> Engine:
    """The engine for a choice that names none. Raises `ModelLoadError`."""
    if folder.gguf is not None:
        return "llama.cpp"
    from code_model.decoder.loading import computes

    # on a GPU, a larger model is many times faster; a small one is fast anyway, with more forms
    if choice.device is None and _is_large(folder) and _has_gpu():
        return "transformers"
    asked = choice.device in DECODER_DEVICES and choice.precision in DECODER_PRECISIONS
    if computes(folder.config) and asked:
        return "decoder"
    return "transformers"


def _is_large(folder: ModelFolder) -> bool:
    files = [file for file in folder.weight_files if file.exists()]
    return sum(file.stat().st_size for file in files) > LARGE_BYTES


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()


def require_packages(engine: str, extra: str, *modules: str) -> None:
    """Raise `ModelLoadError` if a package of the engine is not installed; it names the extra."""
    if any(find_spec(module) is None for module in modules):
        raise ModelLoadError(
            f"The engine {engine} is not installed; install it with "
            f"`pip install 'attune[{extra}]'`."
        )


def _choice(choice: ModelChoice | Path | None) -> ModelChoice:
    if choice is None:
        return resolve_model().choice
    return ModelChoice(choice) if isinstance(choice, Path) else choice


def _dequantised(choice: ModelChoice) -> ModelChoice:
    """For a GGUF file, the choice of its dequantised weights, with an engine that tunes."""
    if choice.engine not in (None, "llama.cpp") or not choice.path.is_dir():
        return choice
    folder = read_model_folder(choice.path, layout=choice.layout)
    if folder.gguf is None:
        return choice
    if not is_dequantised(folder):
        require_packages("llama.cpp", "llamacpp", "gguf", "transformers")
        dequantise(choice.path)
    return replace(choice, engine=best_engine(replace(folder, gguf=None), choice))


def _recorded_hashes(choice: ModelChoice) -> dict[Path, str]:
    """The SHA-256 of the recorded files. Raises `ModelLoadError` if a file seems to have changed.

    Only size and time are compared here; `attune model check` compares the hashes.
    """
    for file in choice.files:
        try:
            unchanged = file.is_unchanged()
        except OSError as error:
            raise ModelLoadError(
                f"{file.path} is gone ({error.strerror}); add the model again, or remove it with "
                "`attune model remove`."
            ) from error
        if not unchanged:
            raise ModelLoadError(
                f"{file.path} has changed since the model was added; run `attune model check`, "
                "which compares its hash, or add the model again."
            )
    return {file.path: file.sha256 for file in choice.files}


def _check_decoder(choice: ModelChoice) -> None:
    from code_model.block_quantisation import SCHEMES

    for name, wanted, computed in (
        ("device", choice.device, DECODER_DEVICES),
        ("precision", choice.precision, DECODER_PRECISIONS),
    ):
        if wanted not in computed:
            raise ModelLoadError(
                f"The engine decoder has no {name} {wanted}, it computes in float32 on the CPU; "
                "choose the engine transformers."
            )
    if choice.quantisation not in (None, *SCHEMES):
        raise ModelLoadError(
            f"There is no quantisation {choice.quantisation!r}; choose one of {', '.join(SCHEMES)}."
        )


def _check_llama_cpp(choice: ModelChoice) -> None:
    if choice.device or choice.precision or choice.quantisation:
        raise ModelLoadError(
            "The engine llama.cpp has the precision of the GGUF file and the device that its "
            "package was built for; choose no --device, --precision or --quantisation."
        )


def _check_transformers(choice: ModelChoice) -> None:
    from code_model.transformers_engine.device import choose_device, choose_precision
    from code_model.transformers_engine.quantisation import check_scheme

    choose_precision(choice.precision, choose_device(choice.device))
    if choice.quantisation is not None:
        check_scheme(choice.quantisation)


def _load_decoder(folder: ModelFolder, choice: ModelChoice) -> LanguageModel:
    from code_model.block_quantisation import SCHEMES
    from code_model.decoder.loading import load_decoder

    _check_decoder(choice)
    scheme = next((each for each in SCHEMES if each == choice.quantisation), None)
    weights = weights_in(folder.weight_files)
    advice = "choose a smaller model"
    if folder.stored_scheme is not None:
        needed = 2.0 * weights.stored_bytes  # as they are read, and packed
    elif scheme is not None:
        needed = 1.1 * weights.numbers  # and a scale for 32 of them
    else:  # float32, and once more packed for the compiled step: in bfloat16 where that is exact
        needed = (6.0 if weights.stored_bytes < 4 * weights.numbers else 8.0) * weights.numbers
        advice += ", or --quantisation int8"
    check_fits(folder.name, int(needed), advice)
    return load_decoder(folder, scheme)


def _load_llama_cpp(folder: ModelFolder, choice: ModelChoice) -> LanguageModel:
    require_packages("llama.cpp", "llamacpp", "llama_cpp", "psutil")
    from code_model.llama_cpp.loading import load_llama_cpp

    _check_llama_cpp(choice)
    return load_llama_cpp(folder)


def _load_transformers(folder: ModelFolder, choice: ModelChoice) -> LanguageModel:
    require_packages("transformers", "transformers", "transformers")
    from code_model.transformers_engine.loading import load_transformers

    weights = weights_in(folder.weight_files)
    needed = weights.stored_bytes
    if folder.stored_scheme is not None:  # as they are read, and as floats
        needed *= 9 if folder.stored_scheme == "int4" else 5
    elif choice.device == "cpu" and choice.quantisation is None and choice.precision is not None:
        needed = int(weights.numbers * BYTES.get(choice.precision, 0))
    advice = "choose a smaller model, a lower precision, or a GGUF file with a quantisation"
    check_fits(folder.name, needed, advice)
    return load_transformers(
        folder,
        device=choice.device,
        precision=choice.precision,
        quantisation=choice.quantisation,
    )


def _load_vllm(folder: ModelFolder, server: TeamServer) -> LanguageModel:
    require_packages("vllm", "team", "httpx2")
    from code_model.vllm.loading import load_vllm

    return load_vllm(folder, server)


_CHECKS: Final[Mapping[Engine, Callable[[ModelChoice], None]]] = {
    "decoder": _check_decoder,
    "llama.cpp": _check_llama_cpp,
    "transformers": _check_transformers,
}
_LOADERS: Final[Mapping[Engine, Callable[[ModelFolder, ModelChoice], LanguageModel]]] = {
    "decoder": _load_decoder,
    "llama.cpp": _load_llama_cpp,
    "transformers": _load_transformers,
}
