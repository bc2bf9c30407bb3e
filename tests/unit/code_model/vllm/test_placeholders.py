"""A request behind a kv prompt names it, and names no other."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from code_model.decoder.model import DecoderModel
from code_model.language_model import (
    ModelUnreachableError,
    PromptUnservedError,
    ScoredIds,
    ScoreRefusedError,
)
from code_model.loading import load_model
from code_model.model_choice import ModelChoice
from code_model.team_server import TeamServer
from code_model.vllm.placeholders import placeholder_ids, prompt_of_salt, salt_of
from prompts.file import write_prompt
from tests.unit.code_model.vllm.fake_server import FakeServer
from tests.unit.code_model.vllm.test_session import ids_of, make_prompt

digests = st.text("0123456789abcdef", min_size=64, max_size=64)


@given(digests, digests, st.integers(8, 300), st.integers(300, 200_000))
def test_placeholders_belong_to_one_prompt(one: str, other: str, count: int, size: int) -> None:
    ids = placeholder_ids(one, count, size)
    assert len(ids) == count
    assert all(0 <= token < size for token in ids)
    assert ids[:4] == placeholder_ids(one, 4, size)
    assert prompt_of_salt(salt_of(one)) == one
    assert prompt_of_salt(one) is None
    if one != other:
        assert placeholder_ids(other, count, size) != ids


def test_a_kv_prompt_is_named_by_the_digest_of_its_file(
    local: DecoderModel, server: FakeServer, tiny_model: Path, tmp_path: Path
) -> None:
    identity = local.identity
    width = 2 * identity.num_layers * identity.num_key_value_heads * identity.head_dim
    prompt = make_prompt(local, "kv", torch.zeros(6, width))
    sha256 = write_prompt(tmp_path / "p.attune.safetensors", prompt)
    ids = ids_of(local)
    model = load_model(ModelChoice(tiny_model, server=TeamServer(server.url, kv_prompts=True)))
    assert list(model.forms) == ["kv", "embedding"]
    for known in (prompt, replace(prompt, sha256=sha256)):
        session = model.open(known)
        assert session.num_virtual_tokens == 6
        session.prefill(ids)
        body = server.requests[-1]
        placeholders = placeholder_ids(sha256, 6, local.llama.config.vocab_size)
        assert body["prompt"] == [*placeholders, *ids]
        assert body["cache_salt"] == salt_of(sha256)
    with pytest.raises(ScoreRefusedError):
        session.score([ScoredIds(ids, 3)])


def test_an_error_of_the_server_is_no_answer(
    local: DecoderModel, server: FakeServer, tiny_model: Path
) -> None:
    server.answer = b'data: {"error": {"message": "KV load failure", "code": 500}}\n\n'
    model = load_model(ModelChoice(tiny_model, server=TeamServer(server.url, timeout_s=60.0)))
    with pytest.raises(ModelUnreachableError, match="it reports an error"):
        model.open().generate(ids_of(local), max_new_tokens=3)


@pytest.mark.parametrize(
    ("ask", "status"), [("generate", 200), ("generate", 500), ("prefill", 500)]
)
def test_a_prompt_that_the_server_cannot_serve_is_not_asked_for_again(
    local: DecoderModel, server: FakeServer, tiny_model: Path, ask: str, status: int
) -> None:
    """A stream reports it in an event, a whole answer by its status."""
    server.status = status
    server.answer = b'data: {"error": {"message": "KV load failure", "code": 500}}\n\n'
    choice = ModelChoice(tiny_model, server=TeamServer(server.url, timeout_s=60.0, kv_prompts=True))
    identity = local.identity
    width = 2 * identity.num_layers * identity.num_key_value_heads * identity.head_dim
    session = load_model(choice).open(make_prompt(local, "kv", torch.zeros(6, width)))
    asks = {"generate": partial(session.generate, max_new_tokens=3), "prefill": session.prefill}
    for _ in range(2):
        with pytest.raises(PromptUnservedError, match="it cannot serve this soft prompt"):
            asks[ask](ids_of(local))
    assert len(server.requests) == 1
