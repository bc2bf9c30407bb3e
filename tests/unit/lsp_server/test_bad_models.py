"""A server with real models that cannot be used: one sentence each, and it goes on answering."""

import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import torch

from code_model.decoder.model import DecoderModel
from code_model.loading import MODEL_VARIABLE
from code_model.model_addition import add_model
from code_model.transformers_engine.network import Network
from code_model.user_models import UserModel, record_model, set_default
from lsp_server.model import open_model
from lsp_server.server import create_server
from tests.unit.lsp_server.conftest import Client
from tests.unit.lsp_server.test_inline_completion import EMPTY

TEXT = "import os\n\n\ndef main() -> int:\n    path = os."
LINE, CHARACTER = 4, 14


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def change_hash(file: Path) -> None:
    """As a download that was tampered with: the size is the same."""
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(file, (1.0, 1.0))


def grow(file: Path) -> None:
    """A terabyte of weights, which takes no place on the disk."""
    numbers = 1 << 38
    header = json.dumps(
        {"huge": {"dtype": "F32", "shape": [numbers], "data_offsets": [0, 4 * numbers]}}
    ).encode()
    with file.open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        stream.truncate(8 + len(header) + 4 * numbers)


def edit(file: Path, **changes: object) -> None:
    content = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps(content), encoding="utf-8")


def without_family(folder: Path) -> None:
    """A tokenizer whose special tokens are those of no family."""
    (folder / "attune.json").unlink()
    text = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(text.replace("<|fim_", "<|no_").replace("_sep|>", "|>"))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut": (lambda folder: cut(folder / "model.safetensors"), "is missing or truncated; get the"),
    "wrong-hash": (
        lambda folder: change_hash(folder / "model.safetensors"),
        "has changed since the model was added; run `attune model check`",
    ),
    "huge": (lambda folder: grow(folder / "model.safetensors"), "GB are free; choose a smaller"),
    "two-models": (
        lambda folder: edit(folder / "config.json", intermediate_size=50),
        "the folder mixes two models",
    ),
    "no-family": (without_family, "no known family"),
    "another-architecture": (
        lambda folder: edit(folder / "config.json", model_type="mamba"),
        "mamba",
    ),
}


@pytest.fixture
async def client(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Client]:
    """A client of a server that serves the user's default model, which is in order."""
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    monkeypatch.setattr(DecoderModel, "prepare", lambda model: None)
    add_model("good", tiny_model, str(tiny_model))
    set_default("good")
    server = create_server(open_model)
    client = Client(server)
    parameters = {"processId": None, "rootUri": tmp_path.as_uri(), "capabilities": {}}
    await client.request("initialize", parameters)
    client.notify("initialized", {})
    client.open(TEXT, uri=uri_of(tmp_path), language="plaintext")
    yield client
    server.shutdown()


def uri_of(folder: Path) -> str:
    return (folder / "module.txt").as_uri()


async def completed(client: Client, folder: Path) -> object:
    answer = await client.complete(LINE, CHARACTER, uri=uri_of(folder), invoked=True)
    return answer["result"]


@pytest.mark.parametrize("name", BAD)
async def test_a_model_that_cannot_be_used(
    client: Client, tmp_path: Path, tiny_model: Path, name: str
) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "models" / name))
    spoil, sentence = BAD[name]
    if name == "wrong-hash":
        add_model(name, folder, "s")
    else:
        record_model(name, UserModel(str(folder)))
    spoil(folder)
    await said_and_survived(client, tmp_path, name, sentence)


async def test_a_gguf_file_that_is_cut_short(
    client: Client, tmp_path: Path, tiny_model: Path
) -> None:
    pytest.importorskip("llama_cpp")
    from tests.unit.code_model.llama_cpp.conftest import make_gguf_folder

    folder = make_gguf_folder("llama", tiny_model, tmp_path / "models")
    record_model("gguf", UserModel(str(folder)))
    cut(folder / "model.gguf")
    await said_and_survived(client, tmp_path, "gguf", "is cut short")


async def said_and_survived(client: Client, root: Path, name: str, sentence: str) -> None:
    """The editor is told once, requests are answered, and the next choice serves."""
    assert (await completed(client, root))["items"]
    set_default(name)
    for _ in range(2):
        assert await completed(client, root) == EMPTY
        assert client.empty_reasons[-1]["reason"] == "no_engine"
    errors = [status for status in client.statuses if status["kind"] == "Error"]
    assert len(errors) == 1
    assert sentence in errors[0]["message"]
    assert "\n" not in errors[0]["message"]
    assert errors[0]["model"] == name
    set_default("good")
    assert (await completed(client, root))["items"]
    assert client.statuses[-1]["kind"] == "Normal"


async def test_a_gpu_that_runs_out_of_memory_in_the_middle_of_a_decode(
    client: Client, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computing = {"engine": "transformers", "device": "cpu", "precision": "float32"}
    record_model("gpu", UserModel(str(tiny_model), **computing))
    set_default("gpu")
    expected = await completed(client, tmp_path)
    assert expected["items"]
    hidden, calls = Network.hidden, 0

    def failing(*arguments: object, **options: object) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls >= 3:  # from then on: a prefetch of the answer before may take a call
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return hidden(*arguments, **options)

    document = {"uri": uri_of(tmp_path), "version": 2}
    change = {"textDocument": document, "contentChanges": [{"text": f"# new\n{TEXT}"}]}
    client.notify("textDocument/didChange", change)
    with monkeypatch.context() as patch:
        patch.setattr(Network, "hidden", failing)
        answer = await client.complete(LINE + 1, CHARACTER, uri=uri_of(tmp_path), invoked=True)
    assert answer["result"] == EMPTY
    assert calls >= 3
    assert client.empty_reasons[-1]["reason"] == "out_of_memory"
    assert "close other programs" in client.empty_reasons[-1]["message"]
    again = await client.complete(LINE + 1, CHARACTER, uri=uri_of(tmp_path), invoked=True)
    assert again["result"]["items"]
