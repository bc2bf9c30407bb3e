"""What the settings open, and that changed prompt files are followed without a request."""

import queue
from pathlib import Path

import pytest

from code_model.decoder.model import DecoderModel
from code_model.loading import MODEL_VARIABLE
from code_model.model_addition import add_model
from completion.completion_model import Computation
from completion.request import CompletionRequest
from completion.status import Status
from lsp_server.index_client import IndexProgress
from lsp_server.model import StatusWithProgress, open_model
from lsp_server.settings import Settings
from prompts.configuration import FOLDER, set_model
from prompts.file import DEFAULT_PROMPT, write_prompt
from tests.unit.completion.prompt_files import WITHOUT_PROMPT, prompt_of

TEXT = "import os\n\n\ndef main() -> int:\n    path = os."
REQUEST = CompletionRequest(TEXT, "a.txt", len(TEXT))


@pytest.fixture
def default(tmp_path: Path) -> Path:
    """Where the repository keeps its prompt."""
    path = tmp_path / DEFAULT_PROMPT
    path.parent.mkdir()
    return path


@pytest.fixture
def statuses() -> list[Status]:
    return []


@pytest.fixture(autouse=True)
def _tiny_model(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.setenv(MODEL_VARIABLE, str(tiny_model))
    monkeypatch.setattr(DecoderModel, "prepare", lambda model: None)  # no compiler at exit


def test_a_change_is_reported_without_a_request(base, tmp_path, default):
    reported: queue.SimpleQueue[Status] = queue.SimpleQueue()
    model = open_model(Settings(), [tmp_path], reported.put)
    assert reported.get(timeout=60).message == WITHOUT_PROMPT
    write_prompt(default, prompt_of(base))
    assert reported.get(timeout=60).message.startswith("Ready with prompt space")
    default.write_bytes(b"no prompt")
    assert reported.get(timeout=60).kind == "Warning"
    default.unlink()
    assert reported.get(timeout=60).message == WITHOUT_PROMPT
    assert model is not None  # it must live until here


def test_an_unusable_model_is_an_error(tmp_path, statuses):
    model = open_model(Settings(model=str(tmp_path / "none")), [], statuses.append)
    [status] = statuses
    assert status.kind == "Error"
    assert status.message.startswith("There is no model folder")
    assert model.complete(REQUEST, Computation()).reason == "no_engine"
    assert statuses == [status]  # no further notice


def test_another_model_serves_as_soon_as_it_is_chosen(monkeypatch, tmp_path, tiny_model):
    """`attune model use` writes a file, and the running server follows it without a request."""
    monkeypatch.delenv(MODEL_VARIABLE)
    add_model("mine", tiny_model, str(tiny_model))
    reported: queue.SimpleQueue[Status] = queue.SimpleQueue()
    model = open_model(Settings(), [tmp_path], reported.put)
    assert reported.get(timeout=60).model == "shipped"
    set_model(tmp_path / FOLDER, "mine")
    said = [reported.get(timeout=60)]
    while said[-1].busy:  # the index may have something to say meanwhile
        said.append(reported.get(timeout=60))
    assert said[0].busy
    assert said[-1].model == "mine"
    assert model is not None  # it must live until here


@pytest.mark.parametrize("settings", [Settings(Path("none")), Settings(trusted=False)])
def test_the_repositorys_prompt_does_not_serve(base, tmp_path, default, statuses, settings):
    """By the user's wish, or because an untrusted workspace needs the user's consent."""
    write_prompt(default, prompt_of(base))
    model = open_model(settings, [tmp_path], statuses.append)
    assert statuses[-1].prompt is None
    assert "Ready without a prompt" in statuses[-1].message
    assert model.complete(REQUEST, Computation()).prompt is None


def test_a_named_prompt_serves_in_an_untrusted_workspace(base, tmp_path, statuses):
    """Only the user can name one there."""
    named = tmp_path / "mine.attune.safetensors"
    write_prompt(named, prompt_of(base))
    open_model(Settings(named, trusted=False), [tmp_path], statuses.append)
    assert statuses[-1].prompt is not None


READY = Status("Normal", False, "Ready.")
PROBLEM = Status("Warning", False, "The prompt is damaged.")


@pytest.mark.parametrize(
    ("status", "shown"),
    [(READY, Status("Normal", True, "Ready (indexing 3 of 9 files).")), (PROBLEM, PROBLEM)],
)
def test_progress_is_added_to_a_normal_status(statuses, status, shown):
    reporter = StatusWithProgress(statuses.append)
    reporter.set_progress(IndexProgress(1, 9))
    assert statuses == []  # nothing before the model's first status
    reporter.set_progress(IndexProgress(3, 9))
    reporter.set_status(status)
    reporter.set_progress(None)
    assert statuses == [shown, status]


def test_lasting_problems_of_indexing_stay_in_the_status(statuses):
    reporter = StatusWithProgress(statuses.append)
    reporter.add_notice("Not watched.", "Normal")
    reporter.set_status(READY)
    reporter.set_progress(IndexProgress(3, 9))
    reporter.add_notice("In memory.", "Warning")
    reporter.add_notice("In memory.", "Warning")
    assert [(status.kind, status.message) for status in statuses] == [
        ("Normal", "Ready. Not watched."),
        ("Normal", "Ready (indexing 3 of 9 files). Not watched."),
        ("Warning", "Ready (indexing 3 of 9 files). Not watched. In memory."),
    ]
