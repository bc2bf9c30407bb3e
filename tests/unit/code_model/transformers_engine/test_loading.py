"""What is loaded and how: device, precision, quantisation; broken folders; nothing from outside."""

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import DynamicCache, PreTrainedModel

from code_model.language_model import ModelLoadError, Runtime, ScoredIds
from code_model.model_choice import DEFAULT
from code_model.model_folder import ModelFolder, read_model_folder
from code_model.transformers_engine import device as device_module
from code_model.transformers_engine.device import choose_device, choose_precision
from code_model.transformers_engine.loading import load_transformers
from code_model.transformers_engine.model import TransformersModel

IDS = list(range(5, 60))


def copy(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to / "model")
    return to / "model"


def test_truncated_weights_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = copy(tiny_model, tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelLoadError, match="missing or truncated"):
        load_transformers(read_model_folder(folder), device="cpu")


@pytest.mark.parametrize("change", [{"intermediate_size": 50}, {"num_hidden_layers": 3}])
def test_a_folder_that_mixes_two_models_is_refused(
    tiny_model: Path, tmp_path: Path, change: dict[str, int]
) -> None:
    folder = copy(tiny_model, tmp_path)
    config = json.loads((folder / "config.json").read_text()) | change
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelLoadError, match="mixes two models") as raised:
        load_transformers(read_model_folder(folder), device="cpu")
    assert "\n" not in str(raised.value)


def test_code_of_the_folder_is_never_run(tiny_model: Path, tmp_path: Path) -> None:
    folder = copy(tiny_model, tmp_path)
    mark = tmp_path / "was run"
    (folder / "modeling_own.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    own = {"auto_map": {"AutoModelForCausalLM": "modeling_own.Own", "AutoConfig": "modeling_own.C"}}
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | own))
    load_transformers(read_model_folder(folder), device="cpu")  # as the type that it names
    (folder / "config.json").write_text(json.dumps(config | own | {"model_type": "own"}))
    with pytest.raises(ModelLoadError, match="code that comes with a model is never run"):
        load_transformers(read_model_folder(folder), device="cpu")
    assert not mark.exists()


def test_loading_connects_to_nothing(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    load_transformers(read_model_folder(tiny_model), device="cpu", precision="float32")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        MemoryError(),
    ],
)
def test_weights_that_find_no_memory(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failing(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", failing)
    with pytest.raises(ModelLoadError, match="does not fit the memory of the device cpu; choose a"):
        load_transformers(read_model_folder(tiny_model), device="cpu")


def test_the_best_device_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, best in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert choose_device(None).type == best


def test_sixteen_bits_are_chosen_where_they_are_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for wins, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(device_module, "bfloat16_wins", lambda wins=wins: wins)
        assert choose_precision(None, torch.device("cpu")) == expected
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert choose_precision(None, torch.device("cuda")) == torch.float16
    assert choose_precision("float32", torch.device("cuda")) == torch.float32


def test_what_does_not_exist_here_is_refused(tiny_model: Path) -> None:
    folder = read_model_folder(tiny_model)
    for settings, sentence in (
        ({"device": "toaster"}, "no device 'toaster'"),
        ({"precision": "float3"}, "no precision 'float3'"),
        ({"device": "cpu", "quantisation": "int3"}, "no quantisation 'int3'"),
    ):
        with pytest.raises(ModelLoadError, match=sentence):
            load_transformers(folder, **settings)


def nats(model: TransformersModel) -> torch.Tensor:
    return torch.tensor(model.score(model.bare_prefix(), [ScoredIds(IDS, len(IDS) - 1)])[0])


def gradient_of(model: TransformersModel) -> torch.Tensor:
    """Of the loss of `IDS` in an embedding prompt, flat."""
    weights = [1.0] * (len(IDS) - 1)
    embeddings = model.prompt_embeddings_of(IDS[:4], "embedding").requires_grad_()
    loss = model.loss(model.prefix_of(embeddings, "embedding"), [IDS], [weights])
    (gradient,) = torch.autograd.grad(loss, embeddings)
    return gradient.flatten()


@pytest.mark.parametrize(("scheme", "tolerance"), [("int8", 0.1), ("int4", 0.5)])
def test_quantised_weights_change_the_nats_a_little(
    folder_of: Callable[..., ModelFolder],
    scheme: str,
    tolerance: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("bitsandbytes", reason="the extra quantised is not installed")
    shape = {"hidden_size": 64, "head_dim": 16, "intermediate_size": 128}  # whole blocks of 64
    folder = folder_of("llama", shape)
    caplog.clear()  # transformers, which the fixture uses alone, imports bitsandbytes
    full = load_transformers(folder, device="cpu", precision="float32")
    quantised = load_transformers(folder, device="cpu", precision="float32", quantisation=scheme)
    assert quantised.runtime == Runtime("transformers", "float32", scheme)
    assert quantised.num_parameters == full.num_parameters
    stored = [sum(p.nbytes for p in m.network.causal.parameters()) for m in (quantised, full)]
    assert stored[0] < stored[1]
    change = (nats(quantised) - nats(full)).abs().mean() / nats(full).mean()
    assert 0 < change < tolerance
    assert quantised.open().generate(IDS, max_new_tokens=2).steps
    assert caplog.text == ""  # bitsandbytes would warn of every product
    before = quantised.weights_hash()
    gradients = [gradient_of(model) for model in (quantised, full)]
    assert torch.cosine_similarity(*gradients, dim=0) > 0.7
    assert quantised.weights_hash() == before
    with pytest.raises(ModelLoadError, match="load it without a quantisation"):
        quantised.with_weights({})


def test_the_shipped_model_in_int8_can_be_served() -> None:
    """Its tokens depend on their company in a pass, which is no fault of its cache."""
    pytest.importorskip("bitsandbytes", reason="the extra quantised is not installed")
    folder = read_model_folder(DEFAULT)
    model = load_transformers(folder, device="cpu", precision="float32", quantisation="int8")
    assert set(model.forms) == {"kv", "kv-nope", "embedding"}


@pytest.mark.parametrize("scheme", [None, "int8"])
def test_a_cache_that_is_not_cut_is_refused(
    monkeypatch: pytest.MonkeyPatch, scheme: str | None
) -> None:
    if scheme is not None:
        pytest.importorskip("bitsandbytes", reason="the extra quantised is not installed")
    monkeypatch.setattr(DynamicCache, "crop", lambda cache, length: None)
    with pytest.raises(ModelLoadError, match="behind a cut cache"):
        load_transformers(
            read_model_folder(DEFAULT), device="cpu", precision="float32", quantisation=scheme
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("scheme", [None, "int8", "int4"])
def test_cuda_gives_the_nats_of_the_cpu(tiny_model: Path, scheme: str | None) -> None:
    folder = read_model_folder(tiny_model)
    cpu = load_transformers(folder, device="cpu", precision="float32")
    cuda = load_transformers(folder, device="cuda", quantisation=scheme)
    assert cuda.runtime.precision in ("bfloat16", "float16")
    assert (nats(cuda) - nats(cpu)).abs().mean() < 0.2 * nats(cpu).mean()
    assert cuda.open().generate(IDS, max_new_tokens=3).steps
