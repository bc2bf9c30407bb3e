"""What prompts are bound to, of a model folder whose weights are computed elsewhere."""

from code_model.language_model import ModelLoadError
from code_model.model_folder import ModelFolder
from prompts.manifest import ModelIdentity

SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
)


def check_servable(folder: ModelFolder) -> None:
    """Raise `ModelLoadError` if vLLM does not compute a folder's weights."""
    if folder.gguf is not None:
        raise ModelLoadError(
            f"{folder.name} is a GGUF file, which a team server does not compute; add the same "
            "model in Hugging Face format."
        )


def identity_of(folder: ModelFolder) -> ModelIdentity:
    """Raises `ModelLoadError` if the folder lacks weights or sizes."""
    config = folder.config
    missing = [size for size in SIZES if not isinstance(config.get(size), int)]
    if missing:
        raise ModelLoadError(
            f"{folder.path.name}/config.json has no number {missing[0]}; get the model's files "
            "again, or choose another model for the team server."
        )
    heads = config["num_attention_heads"]
    try:
        fingerprint = folder.model_fingerprint
    except OSError as error:
        raise ModelLoadError(
            f"The weights of {folder.name} cannot be read ({error.strerror}); get the model's "
            "files again."
        ) from error
    return ModelIdentity(
        name=folder.name,
        model_fingerprint=fingerprint,
        tokenizer_fingerprint=folder.tokenizer_fingerprint,
        layout_fingerprint=folder.encoder.template.fingerprint(),
        num_layers=config["num_hidden_layers"],
        num_key_value_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=int(config.get("head_dim") or config["hidden_size"] // heads),
        hidden_size=config["hidden_size"],
    )
