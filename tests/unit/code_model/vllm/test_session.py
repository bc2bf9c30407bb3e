"""A session on a server says what one on this machine says, and knows when it cannot."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from code_model.cancel import Cancel, StepCancelledError
from code_model.decoder.model import DecoderModel
from code_model.language_model import (
    ContextTooLongError,
    ModelUnreachableError,
    ScoredIds,
    ScoreRefusedError,
)
from code_model.team_server import served_name
from prompts.errors import IncompatiblePrompt
from prompts.file import PromptFile
from prompts.form import Form
from prompts.manifest import Manifest
from tests.unit.code_model.vllm.conftest import Connect
from tests.unit.code_model.vllm.fake_server import DONE, FakeServer, embeddings_of

NATS = 5e-3  # the compiled step of this machine rounds to bfloat16
TEXT = "import os\n\n\ndef main() -> int:\n    path = os."


def make_prompt(model: DecoderModel, form: Form, rows: torch.Tensor) -> PromptFile:
    manifest = Manifest(
        name="space",
        form=form,
        num_virtual_tokens=len(rows),
        model=model.identity,
        attune_version="0.1.0",
    )
    return PromptFile(manifest, rows.numpy())


def ids_of(model: DecoderModel, text: str = TEXT) -> list[int]:
    return model.encoder.encode_file("a.py", text)


def test_the_ids_are_those_of_this_machine(
    local: DecoderModel, server: FakeServer, connect: Connect
) -> None:
    here, there = local.open(), connect(server).open()
    assert there.num_virtual_tokens == here.num_virtual_tokens
    for text in (TEXT, TEXT[:-9], TEXT[:12]):
        ids = ids_of(local, text)
        expected, answer = (each.generate(ids, max_new_tokens=7) for each in (here, there))
        assert (answer.ids, answer.text) == (expected.ids, expected.text)
        assert answer.finish_reason == expected.finish_reason
        np.testing.assert_allclose(answer.logprobs, expected.logprobs, atol=NATS)


def test_where_a_text_ends_is_decided_on_this_machine(
    local: DecoderModel, server: FakeServer, connect: Connect
) -> None:
    here, there = local.open(), connect(server).open()
    ids = ids_of(local)
    for ending in (
        {"threshold": -3.0},
        {"stop": lambda text: len(text) > 2},
        {"must_spell": "so"},
    ):
        expected = here.generate(ids, max_new_tokens=6, **ending)
        answer = there.generate(ids, max_new_tokens=6, **ending)
        assert (answer.ids, answer.text) == (expected.ids, expected.text)
        assert answer.finish_reason == expected.finish_reason
        np.testing.assert_allclose(answer.logprobs, expected.logprobs, atol=NATS)


def test_a_request_names_the_fingerprint_and_holds_ids_only(
    local: DecoderModel, server: FakeServer, connect: Connect
) -> None:
    ids = ids_of(local)
    connect(server).open().generate(ids, max_new_tokens=2)
    (body,) = server.requests
    assert body["model"] == served_name("model", local.identity.model_fingerprint)
    assert body["prompt"] == [*local.encoder.beginning_ids, *ids]
    assert body["temperature"] == 0
    assert "os" not in json.dumps({key: value for key, value in body.items() if key != "model"})


def test_scores_are_those_of_this_machine(
    local: DecoderModel, server: FakeServer, connect: Connect
) -> None:
    sequences = [ScoredIds(ids_of(local), 5), ScoredIds(ids_of(local)[:9], 3)]
    here, there = local.open().score(sequences), connect(server).open().score(sequences)
    for expected, answer in zip(here, there, strict=True):
        np.testing.assert_allclose(answer, expected, atol=NATS)


def test_an_embedding_prompt_is_sent_as_input_embeddings(
    local: DecoderModel, server: FakeServer, connect: Connect
) -> None:
    rows = torch.randn(8, local.identity.hidden_size, generator=torch.Generator().manual_seed(1))
    prompt = make_prompt(local, "embedding", rows)
    session = connect(server).open(prompt)
    assert session.num_virtual_tokens == 8
    ids = ids_of(local)
    session.prefill(ids)
    (body,) = server.requests
    sent = embeddings_of(body)
    table = local.llama.model.embed_tokens.weight
    assert "prompt" not in body
    assert torch.equal(sent, torch.cat([rows, table[ids]]))
    with pytest.raises(ScoreRefusedError, match="soft prompt"):
        session.score([ScoredIds(ids, 3)])


def test_other_forms_are_refused_with_what_to_do(
    local: DecoderModel, server: FakeServer, connect: Connect
) -> None:
    identity = local.identity
    width = 2 * identity.num_layers * identity.num_key_value_heads * identity.head_dim
    prompt = make_prompt(local, "kv-nope", torch.zeros(4, width))
    with pytest.raises(IncompatiblePrompt, match="vLLM rotates every query and key"):
        connect(server).open(prompt)


def test_an_input_that_does_not_fit_is_not_sent(
    local: DecoderModel, server: FakeServer, connect: Connect
) -> None:
    session = connect(server).open()
    with pytest.raises(ContextTooLongError):
        session.generate([5] * session.room(4), max_new_tokens=5)
    assert server.requests == []


EVENT = {"choices": [{"token_ids": [5], "logprobs": {"token_logprobs": [-0.5]}}]}
RUBBISH = {
    "no JSON": b"data: {\n\n",
    "HTML": b"<html>Welcome to our network</html>",
    "a list": b"data: []\n\n",
    "a text for an id": b'data: {"choices": [{"token_ids": ["5"]}]}\n\n',
    "an id beyond the vocabulary": b'data: {"choices": [{"token_ids": [99999999], "logprobs": '
    b'{"token_logprobs": [-1.0]}}]}\n\n',
    "no log-probability": b'data: {"choices": [{"token_ids": [5]}]}\n\n',
    "a probability above one": b'data: {"choices": [{"token_ids": [5], "logprobs": '
    b'{"token_logprobs": [1.0]}}]}\n\n',
    "NaN": b'data: {"choices": [{"token_ids": [5], "logprobs": {"token_logprobs": [NaN]}}]}\n\n',
    "an error as an event": b'data: {"error": {"message": "out of memory", "code": 500}}\n\n',
    "nothing": DONE,
    "an end that comes too early": b"data: " + json.dumps(EVENT).encode() + b"\n\n" + DONE,
    "a line without end": b"data: " + b"5" * (3 << 20),
    "nested too deeply": b"data: " + b"[" * 100_000 + b"\n\n",
}


@pytest.mark.parametrize("rubbish", RUBBISH.values(), ids=RUBBISH.keys())
def test_rubbish_is_no_answer(
    rubbish: bytes, local: DecoderModel, server: FakeServer, connect: Connect
) -> None:
    session = connect(server).open()
    server.answer = rubbish
    with pytest.raises(ModelUnreachableError) as raised:
        session.generate(ids_of(local), max_new_tokens=3)
    assert "memory" not in str(raised.value)  # nothing of the answer is repeated
    server.answer = None
    assert session.generate(ids_of(local), max_new_tokens=3).ids


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "refuses the key"),
        (404, "another model"),
        (429, "too many"),
        (500, "reports an error"),
    ],
)
def test_a_refusal_says_what_it_means(
    status: int, reason: str, local: DecoderModel, server: FakeServer, connect: Connect
) -> None:
    server.status = status
    session = connect(server).open()
    with pytest.raises(ModelUnreachableError, match=reason):
        session.generate(ids_of(local), max_new_tokens=3)
    with pytest.raises(ModelUnreachableError, match=reason):
        session.prefill(ids_of(local))


def test_the_key_comes_from_where_the_user_said(
    local: DecoderModel, server: FakeServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.key = "sesame"
    session = connect(server, key="env:TEAM_KEY").open()
    ids = ids_of(local)
    with pytest.raises(ModelUnreachableError, match="TEAM_KEY, its key, is not set"):
        session.generate(ids, max_new_tokens=2)
    assert server.requests == []
    monkeypatch.setenv("TEAM_KEY", "wrong")
    with pytest.raises(ModelUnreachableError, match="refuses the key"):
        session.generate(ids, max_new_tokens=2)
    monkeypatch.setenv("TEAM_KEY", "sesame")
    assert session.generate(ids, max_new_tokens=2).ids


@pytest.mark.parametrize("sent", [0, 2])
def test_silence_ends_with_the_time_out(
    sent: int, local: DecoderModel, server: FakeServer, connect: Connect
) -> None:
    server.pause_after = sent
    session = connect(server, timeout_s=0.4 if sent == 0 else 20.0).open()
    with pytest.raises(ModelUnreachableError, match="no answer within"):
        session.generate(ids_of(local), max_new_tokens=5)
    server.resume.set()
    assert server.abandoned.wait(60) or sent  # the request has ended for the server too


def test_a_cancelled_request_ends_for_the_server_too(
    local: DecoderModel, server: FakeServer, connect: Connect
) -> None:
    server.pause_after = 1
    session = connect(server).open()
    cancel = Cancel()

    def stop(text: str) -> bool:
        cancel.set()  # the user types on while the server computes
        return False

    answer = session.generate(ids_of(local), max_new_tokens=400, stop=stop, cancelled=cancel)
    assert answer.finish_reason == "cancelled"
    server.resume.set()
    assert server.abandoned.wait(60)


def test_scores_and_prefills_that_are_cancelled_before_they_are_sent(
    local: DecoderModel, server: FakeServer, connect: Connect
) -> None:
    session = connect(server).open()
    session.prefill(ids_of(local), lambda: True)
    with pytest.raises(StepCancelledError):
        session.score([ScoredIds(ids_of(local), 3)], lambda: True)
    assert not server.requests


def test_scores_and_prefills_that_are_cancelled_while_the_server_computes(
    local: DecoderModel, server: FakeServer, connect: Connect
) -> None:
    server.pause_after = 0
    session = connect(server).open()
    session.prefill(ids_of(local), lambda: len(server.requests) == 1)
    with pytest.raises(StepCancelledError):
        session.score([ScoredIds(ids_of(local), 3)], lambda: len(server.requests) == 2)
    server.resume.set()
    assert server.abandoned.wait(60)


def test_connections_are_used_again(
    local: DecoderModel, server: FakeServer, connect: Connect
) -> None:
    session = connect(server).open()
    for _ in range(5):
        session.prefill(ids_of(local))
    assert len(server.connections) == 1


def test_a_server_that_is_gone(local: DecoderModel, server: FakeServer, connect: Connect) -> None:
    closed = FakeServer(local, port=1)  # a port that nobody may listen on
    with pytest.raises(ModelUnreachableError, match="cannot be reached"):
        connect(closed).open().generate(ids_of(local), max_new_tokens=1)


def test_nothing_of_the_code_is_logged(
    local: DecoderModel,
    server: FakeServer,
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEAM_KEY", "sesame")
    ids = ids_of(local)
    with caplog.at_level(logging.INFO):
        connect(server, key="env:TEAM_KEY").open().generate(ids, max_new_tokens=2)
    written = caplog.text
    assert str(ids[:3])[1:-1] not in written
    assert "sesame" not in written


def test_what_the_server_has_bounds_the_input(
    local: DecoderModel, server: FakeServer, tiny_model: Path
) -> None:
    from code_model.loading import load_model
    from code_model.model_choice import ModelChoice
    from code_model.team_server import TeamServer

    less = load_model(ModelChoice(tiny_model, server=TeamServer(server.url, positions=100)))
    more = load_model(ModelChoice(tiny_model, server=TeamServer(server.url, positions=10**6)))
    assert (less.max_positions, more.max_positions) == (100, local.max_positions)
