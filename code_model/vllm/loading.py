"""Load a `VllmModel` from a model folder, which describes what the server computes."""

from code_model.language_model import ModelLoadError
from code_model.model_folder import ModelFolder
from code_model.team_server import TeamServer
from code_model.vllm.client import VllmClient
from code_model.vllm.identity import check_servable, identity_of
from code_model.vllm.model import VllmModel

PRECISIONS = ("float32", "bfloat16", "float16")


def load_vllm(folder: ModelFolder, server: TeamServer) -> VllmModel:
    """The model of a folder on a server. The server is asked nothing yet.

    Raises `ModelLoadError` if vLLM does not compute the folder's weights, if it lacks weights or
    sizes, or if the server's precision is unknown.
    """
    check_servable(folder)
    if server.precision not in PRECISIONS:
        raise ModelLoadError(
            f"The team server {server.host} computes in {server.precision}; this Attune knows "
            f"{', '.join(PRECISIONS)}."
        )
    return VllmModel(folder, identity_of(folder), server, VllmClient(server))
