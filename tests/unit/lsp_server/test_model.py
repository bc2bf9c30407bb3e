"""Which prompt serves, what is said about it, and that a changed file counts at once."""

import dataclasses
import inspect
import queue
import stringprep
from pathlib import Path

import numpy as np
import pytest

from code_model.decoder.soft_prompt import kv_of_ids, kv_to_rows
from code_model.loading import MODEL_VARIABLE, load_model
from completion import prompt_fit as fitting
from completion.completion_model import Computation
from completion.errors import ModelUnavailableError
from completion.pipeline import complete
from completion.request import CompletionRequest
from completion.status import Status
from lsp_server.model import AttunedModel, open_model
from lsp_server.settings import Settings
from prompts.file import DEFAULT_PROMPT, PromptFile, read_prompt, write_prompt
from prompts.manifest import Manifest
from tuning import controls

TEXT = "import os\n\n\ndef main() -> int:\n    path = os."
PROVEN = {"proven": True, "gain": 0.0421}
WITHOUT = 'Ready without a prompt: there is none yet; run "attune tune" in this repository.'


def prompt_of(base, text: str = "class Reader:\n", **manifest) -> PromptFile:
    """The keys and values of `text` as a prompt file."""
    ids = base.tokenizer.encode(text)
    rows = kv_to_rows(kv_of_ids(base.llama, ids)).numpy()
    described = Manifest(
        name="space", form="kv", num_virtual_tokens=len(ids), model=base.identity,
        attune_version="0.1.0", measured=PROVEN,
    )  # fmt: skip
    return PromptFile(
        dataclasses.replace(described, **manifest), np.ascontiguousarray(rows, dtype=np.float32)
    )


@pytest.fixture
def default(tmp_path: Path) -> Path:
    """Where the repository keeps its prompt."""
    path = tmp_path / DEFAULT_PROMPT
    path.parent.mkdir()
    return path


@pytest.fixture
def told() -> list[Status]:
    return []


def answer(model: AttunedModel) -> str:
    request = CompletionRequest(TEXT, "a.txt", len(TEXT))
    return model.complete(request, Computation()).text


def expected(base, prompt: PromptFile | None) -> str:
    return complete(base.open(prompt), TEXT, "a.txt", len(TEXT)).text


def test_without_a_prompt(base, tmp_path, told):
    model = AttunedModel(base, None, tmp_path, told.append)
    assert told == [Status("Normal", False, WITHOUT)]
    assert answer(model) == expected(base, None)
    assert len(told) == 1


def test_without_a_folder(base, told):
    AttunedModel(base, None, None, told.append)
    assert told == [Status("Normal", False, WITHOUT)]


def test_proven_prompt_of_the_repository_serves(base, tmp_path, default, told):
    prompt = prompt_of(base)
    name = f"space@{write_prompt(default, prompt)[:8]}"
    model = AttunedModel(base, None, tmp_path, told.append)
    message = "Ready with prompt space (+4.2 % on held-out files)"
    assert told == [Status("Normal", False, message, name)]
    assert answer(model) == expected(base, prompt) != expected(base, None)


def test_gain_may_be_absent(base, tmp_path, default, told):
    write_prompt(default, prompt_of(base, measured={"proven": True}))
    AttunedModel(base, None, tmp_path, told.append)
    assert told[0].message == "Ready with prompt space"


def test_unproven_prompt_serves_only_when_named(base, tmp_path, default, told):
    prompt = prompt_of(base, measured={"gain": 0.01})
    write_prompt(default, prompt)
    model = AttunedModel(base, None, tmp_path, told.append)
    assert "is not proven" in told[0].message
    assert answer(model) == expected(base, None)
    model = AttunedModel(base, Path(DEFAULT_PROMPT), tmp_path, told.append)
    assert told[1].message == "Ready with prompt space (+1.0 % on held-out files)"
    assert answer(model) == expected(base, prompt)


def test_missing_named_prompt_is_told(base, tmp_path, told):
    model = AttunedModel(base, tmp_path / "none.attune.safetensors", None, told.append)
    answer(model)
    assert [status.kind for status in told] == ["Warning"]
    assert "none.attune.safetensors does not exist" in told[0].message


def test_corrupt_prompt_is_told_once(base, tmp_path, default, told):
    default.write_bytes(b"no prompt")
    model = AttunedModel(base, None, tmp_path, told.append)
    assert answer(model) == answer(model) == expected(base, None)
    assert [status.kind for status in told] == ["Warning"]


def test_prompt_of_another_model_is_told(base, tmp_path, default, told):
    other = dataclasses.replace(base.identity, model_fingerprint="0" * 64)
    write_prompt(default, prompt_of(base, model=other))
    model = AttunedModel(base, None, tmp_path, told.append)
    assert answer(model) == expected(base, None)
    assert told[0].kind == "Warning"
    assert "different model" in told[0].message


def test_changed_file_counts_from_then_on(base, tmp_path, default, told):
    """Pulling the team's prompt needs no restart, nor does removing it."""
    model = AttunedModel(base, None, tmp_path, told.append)
    prompt = prompt_of(base)
    write_prompt(default, prompt)
    assert answer(model) == expected(base, prompt)
    default.unlink()
    assert answer(model) == expected(base, None)
    messages = [status.message.partition(" (")[0] for status in told]
    assert messages == [WITHOUT, "Ready with prompt space", WITHOUT]


def test_bad_file_leaves_the_old_prompt_serving(base, tmp_path, default, told):
    prompt = prompt_of(base)
    write_prompt(default, prompt)
    model = AttunedModel(base, None, tmp_path, told.append)
    default.write_bytes(default.read_bytes()[:-1])
    assert answer(model) == answer(model) == expected(base, prompt)
    assert [status.kind for status in told] == ["Normal", "Warning"]
    assert told[1].message.endswith("Ready with prompt space (+4.2 % on held-out files).")


def test_each_document_is_served_by_its_route(base, tmp_path, default, told):
    """Switching between documents switches the prompt, and the status with it."""
    one, two = prompt_of(base, name="one"), prompt_of(base, "def main() -> int:\n", name="two")
    write_prompt(default.with_name("one.attune.safetensors"), one)
    write_prompt(default.with_name("two.attune.safetensors"), two)
    routes = "".join(f"[[route]]\nglobs = ['{n}/**']\nprompt = '{n}'\n" for n in ("one", "two"))
    default.with_name("attune.toml").write_text(routes)
    model = AttunedModel(base, None, tmp_path, told.append)
    for folder, prompt in (("one", one), ("two", two), ("one", one), ("three", None)):
        request = CompletionRequest(TEXT, f"{folder}/a.py", len(TEXT))
        text = complete(base.open(prompt), TEXT, request.path, len(TEXT)).text
        assert model.complete(request, Computation()).text == text
    names = [status.message.partition(" (")[0] for status in told]
    ready = "Ready with prompt "
    assert names[:3] == [ready + "one", ready + "two", ready + "one"]
    assert names[3].startswith("Ready without a prompt")


def test_change_is_told_without_a_request(monkeypatch, base, tiny_model, tmp_path, default):
    """The watch reads a new file before anyone asks for a completion."""
    monkeypatch.setenv("ATTUNE_MODEL", str(tiny_model))
    told = queue.SimpleQueue()
    complete = open_model(Settings(), tmp_path, told.put)
    assert told.get(timeout=60).message == WITHOUT
    write_prompt(default, prompt_of(base))
    assert told.get(timeout=60).message.startswith("Ready with prompt space")
    default.write_bytes(b"no prompt")
    assert told.get(timeout=60).kind == "Warning"
    default.unlink()
    assert told.get(timeout=60).message == WITHOUT
    assert complete is not None


def test_unusable_model_is_an_engine_error(monkeypatch, tmp_path, told):
    monkeypatch.setenv("ATTUNE_MODEL", str(tmp_path / "none"))
    with pytest.raises(ModelUnavailableError, match="There is no model folder"):
        open_model(Settings(), None, told.append)
    assert not told


def test_open_model_completes(monkeypatch, base, tiny_model, told):
    monkeypatch.setenv("ATTUNE_MODEL", str(tiny_model))
    model = open_model(Settings(), None, told.append)
    request = CompletionRequest(TEXT, "a.txt", len(TEXT))
    model.warm(request, Computation())
    answered = model.complete(request, Computation())
    assert answered.prefilled == 1
    assert answered.text == expected(base, None)


@pytest.mark.parametrize("settings", [Settings(Path("none")), Settings(trusted=False)])
def test_settings_keep_the_repositorys_prompt_out(
    base, tiny_model, monkeypatch, tmp_path, default, told, settings
):
    """By the user's wish, or because nothing of an untrusted workspace serves without consent."""
    monkeypatch.setenv(MODEL_VARIABLE, str(tiny_model))
    write_prompt(default, prompt_of(base))
    model = open_model(settings, tmp_path, told.append)
    assert told[-1].prompt is None
    assert "Ready without a prompt" in told[-1].message
    request = CompletionRequest(TEXT, "a.txt", len(TEXT))
    assert model.complete(request, Computation()).prompt is None


def test_a_named_prompt_serves_in_an_untrusted_workspace(
    base, tiny_model, monkeypatch, tmp_path, told
):
    """The editor lets the user alone name one there."""
    monkeypatch.setenv(MODEL_VARIABLE, str(tiny_model))
    named = tmp_path / "mine.attune.safetensors"
    write_prompt(named, prompt_of(base))
    open_model(Settings(named, trusted=False), tmp_path, told.append)
    assert told[-1].prompt is not None


def test_comparison_and_alternatives(base, tmp_path, default, told):
    """Without the prompt for comparison, and both texts when the user asks."""
    prompt = prompt_of(base)
    write_prompt(default, prompt)
    model = AttunedModel(base, None, tmp_path, told.append)
    attuned, bare = expected(base, prompt), expected(base, None)
    assert attuned != bare
    for explicit in (False, True):
        for without in (False, True):
            request = CompletionRequest(TEXT, "a.txt", len(TEXT), explicit, without)
            found = model.complete(request, Computation())
            first, other = (bare, attuned) if without else (attuned, bare)
            assert found.text == first
            assert found.alternatives == ((other,) if explicit else None)
            assert found.prompt is not None


@pytest.mark.parametrize("gain", [-0.04, 0.04, None])
def test_a_prompt_leaves_out_a_file_that_it_does_not_fit(
    base, tmp_path, default, told, monkeypatch, gain
):
    prompt = prompt_of(base)
    write_prompt(default, prompt)
    model = AttunedModel(base, None, tmp_path, told.append)
    weighed = []
    monkeypatch.setattr(fitting, "gain_on", lambda *told: weighed.append(told) or gain)
    request = CompletionRequest(TEXT, "a.txt", len(TEXT))
    assert answer(model) == expected(base, prompt)  # until someone has looked
    before = model.version()
    for _ in range(2):
        model.check_fit(request, Computation())
    misfits = gain is not None and gain < 0
    assert len(weighed) == 1
    assert (model.version() != before) == misfits
    assert told[-1].message == (
        "Ready without a prompt: prompt space does not fit this file: "
        "with it, what is written there takes 4.0 % more bits."
        if misfits
        else "Ready with prompt space (+4.2 % on held-out files)"
    )
    count = len(told)
    model.refresh()  # nothing has changed on disk
    assert answer(model) == expected(base, None if misfits else prompt)
    assert len(told) == count
    other = CompletionRequest(TEXT, "b.txt", len(TEXT))
    assert model.complete(other, Computation()).prompt is not None
    monkeypatch.setattr(fitting, "gain_on", lambda *told: 0.01)
    model.check_fit(
        CompletionRequest(2 * TEXT, "a.txt", len(TEXT)), Computation()
    )  # it has become another
    assert answer(model) == expected(base, prompt)


def test_a_prompt_that_is_tuned_again_is_weighed_again(base, tmp_path, default, told, monkeypatch):
    write_prompt(default, prompt_of(base))
    model = AttunedModel(base, None, tmp_path, told.append)
    monkeypatch.setattr(fitting, "gain_on", lambda *told: -0.04)
    request = CompletionRequest(TEXT, "a.txt", len(TEXT))
    model.check_fit(request, Computation())
    assert model.complete(request, Computation()).prompt is None
    write_prompt(default, prompt_of(base, "def main() -> int:\n"))
    assert model.complete(request, Computation()).prompt is not None


def test_documents_of_one_name_are_told_apart(base, tmp_path, default, told, monkeypatch):
    """Outside of all folders a document's path is its name alone."""
    write_prompt(default, prompt_of(base))
    model = AttunedModel(base, None, tmp_path, told.append)
    monkeypatch.setattr(fitting, "gain_on", lambda *told: -0.04)
    outside, own = (
        CompletionRequest(TEXT, "a.txt", len(TEXT), uri=uri) for uri in ("file:///b/a", "file:///a")
    )
    model.check_fit(outside, Computation())
    assert model.complete(outside, Computation()).prompt is None
    assert model.complete(own, Computation()).prompt is not None


def test_nothing_is_weighed_where_no_prompt_may_serve(base, tmp_path, default, told, monkeypatch):
    write_prompt(default, prompt_of(base))
    model = AttunedModel(base, None, tmp_path, told.append, without="the settings say so")
    weighed = []
    monkeypatch.setattr(fitting, "gain_on", lambda *told: weighed.append(told))
    model.check_fit(CompletionRequest(TEXT, "a.txt", len(TEXT)), Computation())
    assert not weighed


def test_a_real_prompt_leaves_out_code_of_another_kind(tmp_path, default, told):
    base = load_model()
    default.write_bytes((controls.FOLDER / "networkx.attune.safetensors").read_bytes())
    model = AttunedModel(base, None, tmp_path, told.append)
    text = inspect.getsource(stringprep)  # tables of characters
    request = CompletionRequest(text, "vendored/stringprep.py", len(text) // 2)
    assert model.complete(request, Computation()).prompt is not None
    model.check_fit(request, Computation())
    assert "does not fit this file" in told[-1].message
    assert model.complete(request, Computation()).prompt is None


def test_a_prompt_named_in_the_settings_serves_every_file(base, tmp_path, told, monkeypatch):
    named = tmp_path / "mine.attune.safetensors"
    write_prompt(named, prompt_of(base))
    model = AttunedModel(base, named, tmp_path, told.append)
    monkeypatch.setattr(fitting, "gain_on", lambda *told: -0.04)
    request = CompletionRequest(TEXT, "a.txt", len(TEXT))
    model.check_fit(request, Computation())
    assert model.complete(request, Computation()).prompt is not None


def test_weighing_that_is_stopped_finds_nothing(base, tmp_path, default, told):
    write_prompt(default, prompt_of(base))
    model = AttunedModel(base, None, tmp_path, told.append)
    request, stopped = CompletionRequest(9 * TEXT, "a.txt", 0), Computation()
    stopped.cancel()
    model.check_fit(request, stopped)
    assert model._fitting.is_due(read_prompt(default), request)
    model.check_fit(request, Computation())
    assert not model._fitting.is_due(read_prompt(default), request)
