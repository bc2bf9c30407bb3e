"""A scheduler with a fake model, and requests from golden text."""

from collections.abc import AsyncIterator

import pytest

from completion import prefetch
from completion.scheduler import CompletionScheduler
from tests.unit.completion.fake_model import FakeModel


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
async def loaded(
    model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[CompletionScheduler]:
    """With prefetching after the usual time, also on a laptop without its cable."""
    monkeypatch.setattr(prefetch, "on_battery", lambda: False)
    scheduler = CompletionScheduler()
    scheduler.open(lambda: model, lambda status: None)
    yield scheduler
    model.gate.set()
    model.fit_check_gate.set()
    scheduler.close()


@pytest.fixture
def scheduler(loaded: CompletionScheduler, monkeypatch: pytest.MonkeyPatch) -> CompletionScheduler:
    """Without prefetching."""
    monkeypatch.setattr(prefetch, "IDLE_S", 3600.0)
    return loaded
