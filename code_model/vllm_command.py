"""The command line that starts a vLLM server for a model folder, with the reason of each part."""

import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from code_model.full_weights_folder import full_weights_folder
from code_model.model_folder import ModelFolder
from code_model.team_server import KV_PROMPTS, served_name
from code_model.vllm.identity import check_servable, identity_of
from code_model.vllm.placeholders import CONNECTOR, MODULE

VERIFIED_VERSION = "0.32.0"
"""The version of vLLM that the tests run."""
KEY_VARIABLE = "VLLM_API_KEY"
KEEP_ALIVE_S = 75


@dataclass(frozen=True)
class Part:
    """Words of a command line, and why they are there."""

    words: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class VllmCommand:
    """`environment` are variables to set, with reasons."""

    environment: tuple[Part, ...]
    parts: tuple[Part, ...]

    @property
    def line(self) -> str:
        """For a shell."""
        words = [word for part in self.parts for word in part.words]
        variables = [word for part in self.environment for word in part.words]
        return " ".join((*variables, shlex.join(words)))


def vllm_command(
    folder: ModelFolder,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    precision: str = "bfloat16",
    tensor_parallel_size: int = 1,
    positions: int | None = None,
    store: Path | None = None,
) -> VllmCommand:
    """The command for a model. `store` holds prompts of the form kv, None if there are none.

    vLLM computes floats: of a model that is stored in 8 or 4 bits, those that the numbers stand for
    (`full_weights_folder`). Raises `ModelLoadError` for a model that vLLM would not load.
    """
    check_servable(folder)
    length = positions or int(folder.config.get("max_position_embeddings", 0))
    parts = [
        Part(("vllm", "serve", str(full_weights_folder(folder).absolute())), "the model's folder"),
        Part(
            ("--host", host, "--port", str(port)),
            "behind a reverse proxy with TLS on the same machine",
        ),
        Part(
            ("--served-model-name", *_names(folder, precision, store)),
            "fingerprints: a request for another model, tokenizer or layout is refused",
        ),
        Part(("--dtype", precision), "what the weights are computed in"),
        Part(
            ("--generation-config", "vllm"),
            "no sampling parameters of the folder: every request states its own",
        ),
        Part(("--skip-tokenizer-init",), "editors send ids, so the server needs no tokenizer"),
        Part(("--enable-prompt-embeds",), "soft prompts of the form embedding"),
        Part(("--enable-prefix-caching",), "a prompt and an unchanged context are computed once"),
        Part(
            ("--logprobs-mode", "processed_logprobs"),
            "log-probabilities among the tokens that may come (token healing)",
        ),
        Part(("--max-model-len", str(length)), "positions of one request"),
    ]
    if tensor_parallel_size > 1:
        words = ("--tensor-parallel-size", str(tensor_parallel_size))
        parts.append(Part(words, "the weights are split over so many GPUs"))
    if store is not None:
        words = ("--kv-transfer-config", json.dumps(_connector(folder, store)))
        parts.append(Part(words, "soft prompts of the form kv, from this store, by Attune"))
    environment = (
        Part(
            (f"VLLM_HTTP_TIMEOUT_KEEP_ALIVE={KEEP_ALIVE_S}",),
            "seconds that an editor's connection is kept between two requests",
        ),
        Part(("VLLM_NO_USAGE_STATS=1",), "vLLM reports nothing to its makers"),
    )
    return VllmCommand(environment, tuple(parts))


def _connector(folder: ModelFolder, store: Path) -> dict[str, Any]:
    """The configuration of `code_model.vllm.kv_connector`."""
    return {
        "kv_connector": CONNECTOR,
        "kv_connector_module_path": MODULE,
        "kv_role": "kv_consumer",
        "kv_load_failure_policy": "fail",
        "kv_connector_extra_config": {
            "store": str(store.absolute()),
            "identity": asdict(identity_of(folder)),
        },
    }


def _names(folder: ModelFolder, precision: str, store: Path | None) -> list[str]:
    return [
        *([] if store is None else [KV_PROMPTS]),
        served_name("model", folder.model_fingerprint),
        served_name("tokenizer", folder.tokenizer_fingerprint),
        served_name("layout", folder.encoder.template.fingerprint()),
        served_name("precision", precision),
    ]
