"""A tiny model for every test that needs one, and a clean environment."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # before torch loads, as the command does

import pytest
import torch
from hypothesis import settings
from safetensors.torch import load_file, save_file

from code_context import syntax
from code_model.decoder.llama import Llama, LlamaConfig
from code_model.decoder.model import DecoderModel
from code_model.loading import MODEL_VARIABLE, load_model
from code_model.show_thresholds import ShowThresholds
from pretraining import export, tokenizer
from pretraining.corpus import Document
from prompts.user import HOME_VARIABLE

# No test asserts a time: a busy machine is no failure. By default the examples are the same in
# every run; `--hypothesis-profile=random` looks for others.
settings.register_profile("random", deadline=None)
settings.register_profile("attune", deadline=None, derandomize=True)
settings.load_profile("attune")

TEXT = """\
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


class Reader:
    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> list[str]:
        with self.path.open() as opened:
            return [line.rstrip() for line in opened]


def main() -> int:
    reader = Reader(Path(os.environ["FILE"]))
    for line in reader.lines():
        print(line)
    return 0
"""


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing that was compiled before is used, and nothing stays behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _parsing_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow or busy machine parses what a fast one does; tests of the limit set it themselves."""
    monkeypatch.setattr(syntax, "PARSE_SECONDS", 120.0)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--default-model=FOLDER`: what tests of the shipped model take in its place."""
    parser.addoption("--default-model", type=Path, metavar="FOLDER")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a model in the shipped one's place nobody knows yet what it says."""
    if config.getoption("--default-model") is None:
        return
    skip = pytest.mark.skip(
        reason="asks what the shipped weights say, and --default-model has others"
    )
    for item in items:
        if item.get_closest_marker("shipped_weights"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _clean_environment(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    default: Path | None = request.config.getoption("--default-model")
    if default is None:
        monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(MODEL_VARIABLE, str(default.absolute()))
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path_factory.mktemp("user")))


@pytest.fixture
def shipped_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable names a model, also where another one stands in the shipped one's place."""
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random model of two layers, grouped-query attention and 512 tokens."""
    folder = tmp_path_factory.mktemp("model")
    documents = [Document("package", f"{n}.py", TEXT) for n in range(3)]
    trained = tokenizer.train(documents, vocab_size=512, sample_bytes=10_000, seed=0)
    trained.save(str(folder / "tokenizer.json"))
    config = LlamaConfig(
        vocab_size=trained.get_vocab_size(),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=512,
    )
    model = Llama(config)
    model.init_weights(torch.Generator().manual_seed(0))
    with torch.no_grad():  # larger weights, so that different inputs give different outputs
        for parameter in model.parameters():
            parameter.mul_(6.0)
    export.export(model, folder / "tokenizer.json", folder / "tiny", name="tiny")
    description = folder / "tiny" / "attune.json"
    shows_all = ShowThresholds(-1e6, -1e6, -1e6)  # random weights are never sure
    content = json.loads(description.read_text()) | {"show_thresholds": shows_all.to_dict()}
    description.write_text(json.dumps(content))
    return folder / "tiny"


@pytest.fixture(scope="session")
def other_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with another random model of the same shape and tokenizer."""
    folder = Path(shutil.copytree(tiny_model, tmp_path_factory.mktemp("other") / "other"))
    weights = load_file(folder / "model.safetensors")
    save_file({name: -tensor for name, tensor in weights.items()}, folder / "model.safetensors")
    return folder


@dataclass(frozen=True)
class Cursor:
    """A text whose `$0` was taken out, and where it stood."""

    text: str
    offset: int


def cursor(marked: str) -> Cursor:
    """Split a golden case at its `$0`."""
    before, _, after = marked.partition("$0")
    return Cursor(before + after, len(before))


@pytest.fixture(scope="session")
def base(tiny_model: Path) -> DecoderModel:
    """The tiny model, loaded."""
    return load_model(tiny_model)


@pytest.fixture(scope="session")
def left_to_right(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> DecoderModel:
    """The tiny model as one that was not trained to infill, with token healing."""
    folder = tmp_path_factory.mktemp("left-to-right") / "tiny"
    shutil.copytree(tiny_model, folder)
    description = folder / "attune.json"
    content = json.loads(description.read_text()) | {"layout": "left-to-right-with-suffix"}
    description.write_text(json.dumps(content))
    return load_model(folder)
