"""The promises of docs/team-server.md, against a real vLLM."""

import contextlib
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from code_model.language_model import (
    Generation,
    ModelUnreachableError,
    PromptUnservedError,
    ScoredIds,
    Session,
    TunableModel,
)
from code_model.loading import load_model
from code_model.model_choice import DEFAULT, ModelChoice
from code_model.vllm.model import VllmModel
from code_model.vllm_inspection import inspect_server
from prompts.configuration import stored_file
from prompts.file import PromptFile, write_prompt
from tests.team.conftest import BLOCK, ROOT, RealServer, make_prompt

pytestmark = [pytest.mark.team, pytest.mark.timeout(1800)]

PLACES, NEW_TOKENS = 200, 6
NATS = 2e-3  # both compute in float32, in another order


def inputs(model: TunableModel, count: int) -> list[list[int]]:
    """The ids at places of this repository's own files."""
    files = sorted(ROOT.glob("code_context/*.py")) + sorted(ROOT.glob("prompts/*.py"))
    found = []
    for number in range(count):
        file = files[number % len(files)]
        text = file.read_text(encoding="utf-8")
        end = 200 + (number * 97) % max(1, len(text) - 200)
        name = str(file.relative_to(ROOT))
        found.append(model.encoder.encode_file(name, text[max(0, end - 900) : end]))
    return found


def same(expected: Generation, answer: Generation, session: Session, ids: Sequence[int]) -> bool:
    """Whether two engines say the same, up to two tokens that are as likely as each other."""
    if answer.ids == expected.ids:
        np.testing.assert_allclose(answer.logprobs, expected.logprobs, atol=NATS)
        return True
    pairs = enumerate(zip(expected.ids, answer.ids, strict=False))
    at = next(n for n, (one, other) in pairs if one != other)
    begun = [*ids, *expected.ids[:at]]
    (one,), (other,) = (
        session.score([ScoredIds([*begun, ids_[at]], 1)])[0] for ids_ in (expected.ids, answer.ids)
    )
    assert abs(one - other) < NATS, (expected, answer)
    return False


@pytest.mark.parametrize("form", [None, "embedding", "kv"])
def test_the_ids_are_those_of_this_machine(
    form: str | None, local: TunableModel, remote: VllmModel, real_server: RealServer
) -> None:
    prompt = None
    if form in ("embedding", "kv"):
        prompt = make_prompt(local, form, 2 * BLOCK, 1, real_server.store)
    here, there = local.open(prompt), remote.open(prompt)
    equal = 0
    for ids in inputs(local, PLACES):
        expected, answer = (each.generate(ids, max_new_tokens=NEW_TOKENS) for each in (here, there))
        equal += same(expected, answer, here, ids)
    print(f"{form}: {equal} of {PLACES} equal, the others as likely")
    assert equal >= 0.99 * PLACES


@pytest.mark.parametrize("form", ["embedding", "kv"])
@pytest.mark.parametrize("tokens", [2 * BLOCK, 2 * BLOCK + 5])
def test_the_prefix_cache_knows_a_prompt(
    form: str, tokens: int, local: TunableModel, remote: VllmModel, real_server: RealServer
) -> None:
    """After the first request, whole blocks of virtual tokens are hits, at every place."""
    assert form in ("embedding", "kv")
    prompt = make_prompt(local, form, tokens, 2, real_server.store)
    session = remote.open(prompt)
    first, *others = inputs(local, 8)
    session.generate(first, max_new_tokens=1)
    before = real_server.metrics()
    for ids in others:
        session.generate(ids, max_new_tokens=1)
    after = real_server.metrics()
    gained = {name: after[name] - before[name] for name in after}
    hits = gained["vllm:prefix_cache_hits_total"]
    possible = len(others) * (tokens // BLOCK) * BLOCK
    print(f"{form}, {tokens} tokens: {hits:.0f} hits of {possible} virtual tokens in whole blocks")
    assert hits >= 0.99 * possible


def test_scores_are_those_of_this_machine(local: TunableModel, remote: VllmModel) -> None:
    sequences = [ScoredIds(ids, 20) for ids in inputs(local, 3)]
    here, there = local.open().score(sequences), remote.open().score(sequences)
    for expected, answer in zip(here, there, strict=True):
        np.testing.assert_allclose(answer, expected, atol=NATS)


def test_typed_tokens_are_spelled(local: TunableModel, remote: VllmModel) -> None:
    ids = local.encoder.encode_file("a.py", "import os\n\n\ndef main():\n    ")
    here, there = (
        model.open().generate(ids, max_new_tokens=4, must_spell="re") for model in (local, remote)
    )
    assert (here.ids, here.text) == (there.ids, there.text)
    np.testing.assert_allclose(there.logprobs, here.logprobs, atol=NATS)


def test_fifty_people_with_thirty_two_prompts(
    local: TunableModel, remote: VllmModel, real_server: RealServer
) -> None:
    """Each gets what he gets alone: no prompt is taken for another one."""
    prompts = [make_prompt(local, "kv", BLOCK + 8, 10 + n, real_server.store) for n in range(32)]
    ids = inputs(local, 50)

    def answer(number: int) -> Generation:
        session = remote.open(prompts[number % len(prompts)])
        return session.generate(ids[number], max_new_tokens=NEW_TOKENS)

    with ThreadPoolExecutor(50) as people:
        answers = list(people.map(answer, range(50)))
    equal = 0
    for number, given in enumerate(answers):
        session = local.open(prompts[number % len(prompts)])
        expected = session.generate(ids[number], max_new_tokens=NEW_TOKENS)
        equal += same(expected, given, session, ids[number])
    assert equal >= 48


def test_many_prompts_are_served_like_one(
    local: TunableModel, remote: VllmModel, real_server: RealServer
) -> None:
    """Prints throughput and memory with 32 prompts and with one; no test asserts a time."""
    prompts = [make_prompt(local, "kv", 2 * BLOCK, 100 + n, real_server.store) for n in range(32)]
    ids = inputs(local, 64)

    def seconds(chosen: Sequence[PromptFile]) -> float:
        def ask(number: int) -> int:
            session = remote.open(chosen[number % len(chosen)])
            return len(session.generate(ids[number], max_new_tokens=NEW_TOKENS).ids)

        started = time.perf_counter()
        with ThreadPoolExecutor(16) as people:
            assert sum(people.map(ask, range(len(ids)))) > len(ids)
        return time.perf_counter() - started

    seconds(prompts[:1])
    before = real_server.resident_bytes()
    seconds(prompts)  # loads them
    grown = real_server.resident_bytes() - before
    size = sum(prompt.embeddings.nbytes for prompt in prompts[1:])
    print(f"31 more prompts of {size / 1e6:.1f} MB: {grown / 1e6:.1f} MB of the server's memory")
    assert grown < 1.1 * size  # they lie in vLLM's cache, which has its memory from the start
    seconds(prompts[:1])
    many, one = seconds(prompts), seconds(prompts[:1])
    print(f"requests a second: {len(ids) / many:.1f} with 32 prompts, {len(ids) / one:.1f} with 1")


def test_a_prompt_that_the_server_lacks_or_that_is_of_another_model_serves_nobody(
    local: TunableModel, remote: VllmModel, real_server: RealServer, tmp_path: Path
) -> None:
    ids = inputs(local, 1)[0]
    elsewhere = make_prompt(local, "kv", BLOCK, 50, tmp_path)
    other = replace(local.identity, model_fingerprint="0" * 64)
    manifest = replace(elsewhere.manifest, model=other)
    foreign = replace(elsewhere, manifest=manifest, sha256=None)
    sha256 = write_prompt(tmp_path / "foreign", foreign)
    target = stored_file(sha256, real_server.store)
    target.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "foreign").rename(target)
    for prompt in (elsewhere, replace(elsewhere, sha256=sha256)):
        for _ in range(2):  # the second time nothing of the first is cached
            with pytest.raises(PromptUnservedError):
                remote.open(prompt).generate(ids, max_new_tokens=2)
    assert remote.open().generate(ids, max_new_tokens=2).ids


def test_a_prompt_whose_file_went_away_fails_alone_and_the_log_says_why(
    local: TunableModel, remote: VllmModel, real_server: RealServer
) -> None:
    """Its whole blocks are in the cache, what is behind them in the worker."""
    prompt = make_prompt(local, "kv", 2 * BLOCK + 3, 70, real_server.store)
    never_asked = make_prompt(local, "kv", 2 * BLOCK, 71, real_server.store)
    ids = inputs(local, 1)[0]
    expected = local.open(prompt).generate(ids, max_new_tokens=NEW_TOKENS)
    assert prompt.sha256 is not None
    assert never_asked.sha256 is not None
    for number in range(3):  # the last time without its file
        if number == 2:
            stored_file(prompt.sha256, real_server.store).unlink()
            stored_file(never_asked.sha256, real_server.store).unlink()
        answer = remote.open(prompt).generate(ids, max_new_tokens=NEW_TOKENS)
        assert same(expected, answer, local.open(prompt), ids)
    with pytest.raises(PromptUnservedError):
        remote.open(never_asked).prefill(ids)
    assert "A request behind a soft prompt fails" in real_server.log.read_text(errors="replace")
    assert remote.open().generate(ids, max_new_tokens=2).ids


def test_placeholders_that_are_no_prompt_are_never_computed_behind_its_salt(
    local: TunableModel, remote: VllmModel, real_server: RealServer
) -> None:
    """Nobody can put text where a prompt's blocks are looked up."""
    prompt = make_prompt(local, "kv", 2 * BLOCK, 60, real_server.store)
    ids = inputs(local, 1)[0]
    honest = remote.open(prompt)
    body = {**honest._body(ids, max_tokens=1), "stream": True}
    wrong = {**body, "prompt": [5] * BLOCK * 2 + ids}
    scored = {**body, "stream": False, "prompt_logprobs": 0}
    stream = remote.client.stream(wrong, remote.vocabulary_size)
    with pytest.raises(ModelUnreachableError):
        stream.next(60.0, lambda: False)
    with contextlib.suppress(ModelUnreachableError):  # refused is as good as loaded
        remote.client.post("/v1/completions", scored, 60.0, lambda: False)
    expected = local.open(prompt).generate(ids, max_new_tokens=NEW_TOKENS)
    answer = honest.generate(ids, max_new_tokens=NEW_TOKENS)
    assert same(expected, answer, local.open(prompt), ids)


def test_a_check_finds_everything(
    real_server: RealServer, monkeypatch: pytest.MonkeyPatch, remote: VllmModel
) -> None:
    report = inspect_server(ModelChoice(DEFAULT, server=real_server.address))
    assert report.refusals == []
    assert (report.precision, report.positions) == ("float32", 2048)
    assert report.takes_embeddings
    assert report.has_kv_prompts
    monkeypatch.setenv("TEAM_KEY", "wrong")
    report = inspect_server(ModelChoice(DEFAULT, server=real_server.address))
    assert "refuses the key" in report.refusals[0]


def test_nothing_of_the_code_is_in_a_log(
    local: TunableModel,
    remote: VllmModel,
    real_server: RealServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        ids = local.encoder.encode_file("a.py", "telltale_name = 1\ntelltale_name_2 = ")
        remote.open().generate(ids, max_new_tokens=3)
    log = real_server.log.read_text(errors="replace")
    for written in (log, caplog.text):
        assert "telltale" not in written
        assert str(list(ids[-4:]))[1:-1] not in written
        assert "sesame" not in written


def test_a_server_that_was_killed_and_is_back(
    local: TunableModel, remote: VllmModel, real_server: RealServer
) -> None:
    """The last test: it starts the server again."""
    ids = inputs(local, 1)[0]
    session = remote.open()
    expected = session.generate(ids, max_new_tokens=3)
    real_server.stop()
    with pytest.raises(ModelUnreachableError):
        session.generate(ids, max_new_tokens=3)
    real_server.start()
    assert session.generate(ids, max_new_tokens=3).ids == expected.ids
    assert load_model(ModelChoice(DEFAULT, server=real_server.address)).name == local.name
