"""The benchmark in a short form, with the tiny model; errors of the server make it fail."""

import asyncio
import random
from pathlib import Path

import pytest

from benchmarks import typing_sessions
from benchmarks.typing_sessions import open_default, replay
from code_model.loading import MODEL_VARIABLE
from completion.completion_model import CompletionModel
from completion.status import Status
from tests.conftest import TEXT
from tests.unit.completion.fake_model import FakeModel

FILES = {"first.py": TEXT, "second.py": TEXT}


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GAP_S", "PAUSE_S", "NOTICE_S", "READ_S"):
        monkeypatch.setattr(typing_sessions, name, 0.001)
    monkeypatch.setattr(typing_sessions, "KEYSTROKES", 12)


async def test_every_keystroke_is_answered_or_overtaken(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    monkeypatch.setenv(MODEL_VARIABLE, str(tiny_model))
    figures = await replay(FILES, open_default)
    assert figures["keystrokes"] >= 2 * 12
    assert figures["answered"] + figures["overtaken"] == figures["keystrokes"]
    assert figures["answered"] == sum(figures["sources"].values())


async def test_right_suggestions_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeModel()
    start, end = typing_sessions.hidden_part("first.py", TEXT)
    without, truth = TEXT[:start] + TEXT[end:], TEXT[start:end]
    model.answer = lambda request: truth[len(request.text) - len(without) :]
    monkeypatch.setattr(typing_sessions, "ACCEPT_RATE", 1.0)
    monkeypatch.setattr(typing_sessions, "SLIP_RATE", 0.0)
    accept = typing_sessions._accept

    async def accept_when_shown(editor, rest, accepting):
        await editor.settle()
        return await accept(editor, rest, accepting)

    monkeypatch.setattr(typing_sessions, "_accept", accept_when_shown)
    figures = await replay({"first.py": TEXT}, opener(model))
    assert figures["accepted"] == 1
    assert figures["accepted_characters"] == len(truth) - 1


class BrokenInBackground(FakeModel):
    """Its prompt-fit check fails."""

    def __init__(self) -> None:
        super().__init__()
        self.has_failed = asyncio.Event()
        self.loop = asyncio.get_running_loop()

    def check_fit(self, request, computation):
        self.loop.call_soon_threadsafe(self.has_failed.set)
        raise AttributeError("secret")


async def test_an_error_in_the_background_fails_the_benchmark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = BrokenInBackground()

    async def wait(generator: random.Random, median_s: float) -> None:
        """A person waits until the background job has failed."""
        await model.has_failed.wait()
        await asyncio.sleep(0.001)

    monkeypatch.setattr(typing_sessions, "_wait", wait)
    with pytest.raises(RuntimeError, match=r"fit check.*AttributeError") as raised:
        await replay({"first.py": TEXT}, opener(model))
    assert "secret" not in str(raised.value)


def test_a_stand_in_must_implement_the_whole_interface() -> None:
    class Incomplete(CompletionModel):
        def complete(self, request, computation):
            raise NotImplementedError

        def warm(self, request, computation):
            pass

        def version(self):
            return 0

    with pytest.raises(TypeError, match="check_fit"):
        Incomplete()


def opener(model: FakeModel):
    """Opens a model without loading anything."""

    def open_model(settings, root, report):
        report(Status("Normal", False, "Ready."))
        return model

    return open_model
