"""A fake server that computes the tiny model, and the engine that asks it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from code_model.decoder.model import DecoderModel
from code_model.loading import load_model
from code_model.model_choice import ModelChoice
from code_model.team_server import TeamServer
from code_model.vllm.model import VllmModel
from tests.unit.code_model.vllm.fake_server import FakeServer, running

PATIENT_S = 60.0  # for tests in which the server answers, however busy the machine is


@pytest.fixture
def local(tiny_model: Path) -> DecoderModel:
    """The tiny model on this machine."""
    model = load_model(tiny_model)
    assert isinstance(model, DecoderModel)
    return model


@pytest.fixture
def server(local: DecoderModel) -> Iterator[FakeServer]:
    """A server that computes the tiny model."""
    with running(FakeServer(local)) as started:
        yield started


Connect = Callable[..., VllmModel]


@pytest.fixture
def connect(tiny_model: Path) -> Connect:
    """The tiny model on a server."""

    def load(server: FakeServer, timeout_s: float = PATIENT_S, key: str | None = None) -> VllmModel:
        address = TeamServer(server.url, key, timeout_s=timeout_s)
        model = load_model(ModelChoice(tiny_model, server=address))
        assert isinstance(model, VllmModel)
        return model

    return load
