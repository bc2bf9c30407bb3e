"""`attune team`: the command that starts a server, consent to one, and what a check finds."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from attune.__main__ import app
from code_model.loading import load_model
from code_model.model_addition import add_model
from code_model.model_resolution import resolve_model
from code_model.team_server import KV_PROMPTS, served_name
from code_model.user_models import read_user_models
from prompts.configuration import FILE_NAME, FOLDER
from tests.unit.code_model.vllm.fake_server import FakeServer, running


@pytest.fixture
def server(tiny_model: Path) -> Iterator[FakeServer]:
    add_model("tiny", tiny_model, str(tiny_model))
    with running(FakeServer(load_model(tiny_model))) as started:
        yield started


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["team", *arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout


def test_the_command_states_the_fingerprints(tiny_model: Path) -> None:
    add_model("tiny", tiny_model, str(tiny_model))
    words = shlex.split(run("serve", "tiny", "--tensor-parallel-size", "2").splitlines()[-1])
    assert words[words.index("serve") + 1] == str(tiny_model)
    identity = load_model(tiny_model).identity
    assert served_name("model", identity.model_fingerprint) in words
    assert served_name("layout", identity.layout_fingerprint) in words
    assert words[words.index("--tensor-parallel-size") + 1] == "2"
    connector = json.loads(words[words.index("--kv-transfer-config") + 1])
    assert connector["kv_connector_extra_config"]["identity"] == asdict(identity)
    without = run("serve", "tiny", "--no-prompts")
    assert "--kv-transfer-config" not in without
    assert KV_PROMPTS not in without
    assert {"--enable-prompt-embeds", "--skip-tokenizer-init"} < set(words)


@pytest.mark.usefixtures("shipped_by_name")
def test_a_server_serves_after_consent_and_a_check(server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / FILE_NAME).write_text(f'[team]\nurl = "{server.url}"\n')
    arguments = ("join", "--model", "tiny", "-C", str(tmp_path), "--json")
    result = CliRunner().invoke(app, ["team", *arguments])
    assert isinstance(result.exception, Exception)
    assert "is sent to" in str(result.exception)
    assert (read_user_models().server, server.requests) == ({}, [])
    answer = json.loads(run(*arguments, "--consent"))
    assert answer["report"]["refusals"] == []
    assert answer["server"]["positions"] == 400
    resolved = resolve_model(None, tmp_path)
    assert (resolved.name, resolved.named_by) == ("team", "repository")
    assert json.loads(run("check", "--json"))["first_token_ms"] > 0


def test_another_model_is_not_joined(server: FakeServer, other_model: Path) -> None:
    add_model("other", other_model, str(other_model))
    arguments = ("join", server.url, "--model", "other", "--consent", "--json")
    refusals = json.loads(run(*arguments, code=1))["refusals"]
    assert "has another model than" in refusals[0]
    assert read_user_models().server == {}


@pytest.mark.parametrize(
    "arguments",
    [
        ("http://llm.example.com",),
        ("https://llm.example.com", "--key", "sk-1234"),
        ("https://llm.example.com", "--name", "shipped"),
        ("https://llm.example.com", "--name", "../a"),
    ],
)
def test_what_is_no_server(arguments: tuple[str, ...]) -> None:
    run("join", *arguments, "--consent", code=2)
    assert read_user_models().server == {}
