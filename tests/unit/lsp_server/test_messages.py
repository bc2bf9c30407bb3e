"""Messages about suggestions, and the suggestion list for clients without inline completion."""

import sqlite3
import threading
from pathlib import Path

import pytest

from completion.reasons import REASONS
from lsp_server.ab_test import PERIOD_S
from lsp_server.outcomes import Outcome

URI = "file:///work/space/package/module.py"
INLINE_COMPLETION = {"textDocument": {"inlineCompletion": {}}}


@pytest.fixture
def outcomes(fresh, monkeypatch) -> list[Outcome]:
    """The outcomes that the server derived, in order."""
    outcomes: list[Outcome] = []
    monkeypatch.setattr(fresh.server.outcomes, "_on_outcome", outcomes.append)
    return outcomes


async def test_accept_command(client, model, outcomes):
    client.open("x = ")
    (item,) = (await client.complete(0, 4))["result"]["items"]
    command = item["command"]
    params = {"command": command["command"], "arguments": command["arguments"]}
    assert (await client.request("workspace/executeCommand", params))["result"] is None
    assert [(outcome.kind, outcome.accepted_length) for outcome in outcomes] == [("accepted", 6)]


async def test_partial_acceptance_counts_utf16_units(client, model, outcomes):
    """From the start of the item, as the Copilot language server counts them."""
    model.answer = lambda request: "😀 smile"
    client.open("")
    (item,) = (await client.complete(0, 0))["result"]["items"]
    client.notify("textDocument/didShowCompletion", {"item": item})
    message = {"item": item, "acceptedLength": 3}
    client.notify("textDocument/didPartiallyAcceptCompletion", message)
    client.notify("textDocument/didRejectCompletion", {"item": item})
    assert [(outcome.kind, outcome.accepted_length) for outcome in outcomes] == [
        ("partially accepted", 2)
    ]


async def test_unknown_and_broken_items_change_nothing(client, model, outcomes):
    client.open("x = ")
    (item,) = (await client.complete(0, 4))["result"]["items"]
    for bad in ({}, {"item": {"insertText": "x"}}, {"item": {"command": {"arguments": ["no"]}}}):
        for name in ("didShow", "didPartiallyAccept", "didReject"):
            client.notify(f"textDocument/{name}Completion", bad | {"acceptedLength": "x"})
    params = {"command": item["command"]["command"], "arguments": ["no"]}
    await client.request("workspace/executeCommand", params)
    assert not outcomes


async def test_outcomes_of_edits_and_of_closing(client, model, outcomes):
    client.open("x = ")
    await client.complete(0, 4)
    where = {"start": {"line": 0, "character": 4}, "end": {"line": 0, "character": 4}}
    client.change(2, {"range": where, "text": "answer"})
    assert [outcome.kind for outcome in outcomes] == ["accepted"]
    await client.complete(0, 10)
    client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
    assert [outcome.kind for outcome in outcomes] == ["accepted", "ignored"]


async def test_inline_completion_replaces_the_suggestion_list(fresh):
    """A client with inline completion does not get the same suggestions twice."""
    result = await fresh.start(**INLINE_COMPLETION)
    assert "completionProvider" not in result["capabilities"]
    assert "inlineCompletionProvider" in result["capabilities"]


async def test_suggestion_list(client, model):
    """One entry, which begins at the start of the word and replaces the closers after it."""
    model.answer = lambda request: "a,\n    b)"
    client.open("f(wor)")
    params = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 5}}
    (item,) = (await client.request("textDocument/completion", params))["result"]["items"]
    assert item["label"] == item["filterText"] == "wora,"
    assert item["documentation"] == item["textEdit"]["newText"] == "wora,\n    b)"
    assert item["textEdit"]["range"] == {
        "start": {"line": 0, "character": 2},
        "end": {"line": 0, "character": 6},
    }
    assert item["command"]["command"] == "attune.didAcceptCompletionItem"


async def test_empty_reason_is_sent_when_it_changes(client, model):
    client.open("abcde")
    for place, answer in enumerate(("", "", "more", "more", "")):
        model.answer = lambda request, answer=answer: answer
        await client.complete(0, place)
    assert [params["reason"] for params in client.empty_reasons] == [
        "nothing_to_add",
        None,
        "nothing_to_add",
    ]
    message = REASONS["nothing_to_add"]
    assert [params["message"] for params in client.empty_reasons] == [message, None, message]


async def test_rejected_text_does_not_return(client, model):
    """Not at the same place, unless the user invokes a completion."""
    client.open("x")
    (item,) = (await client.complete(0, 1))["result"]["items"]
    client.server.outcomes._clock = lambda: float("inf")
    client.notify("textDocument/didRejectCompletion", {"item": item})
    assert (await client.complete(0, 1))["result"]["items"] == []
    assert (await client.complete(0, 1, invoked=True))["result"]["items"]


async def test_alternatives_are_items_of_their_own(client, model, outcomes):
    model.alternatives = ("other", "third")
    client.open("x = ")
    items = (await client.complete(0, 4, invoked=True))["result"]["items"]
    assert [item["insertText"] for item in items] == ["answer", "other", "third"]
    (id_,) = items[1]["command"]["arguments"]
    where = {"start": {"line": 0, "character": 4}, "end": {"line": 0, "character": 4}}
    client.change(2, {"range": where, "text": "other"})
    assert [(outcome.id, outcome.kind) for outcome in outcomes] == [(id_, "accepted")]


async def accept(client, item: dict) -> None:
    """Run the item's command, as an editor does after an acceptance."""
    command = item["command"]
    params = {"command": command["command"], "arguments": command["arguments"]}
    await client.request("workspace/executeCommand", params)


async def test_statistics_of_both_arms(fresh, model):
    """A share of the answers is made without the prompt; each is counted in its arm."""
    model.prompt = "team@12"
    await fresh.start({"comparisonShare": 0.5})
    without_prompt = []
    for number in range(40):
        uri = f"file:///work/space/{number}.py"
        fresh.open("x = ", uri)
        (item,) = (await fresh.complete(0, 4, uri=uri))["result"]["items"]
        without_prompt.append(model.requests[-1].without_prompt)
        await accept(fresh, item)
    assert 0 < sum(without_prompt) < 40
    fresh.server.notifications.prompt = "team@12"
    summary = (await fresh.request("attune/statistics", {}))["result"]
    assert summary["without_prompt"]["accepted"] == sum(without_prompt)
    assert summary["with_prompt"]["accepted"] == 40 - sum(without_prompt)
    assert summary["ab_test"]["verdict"] == "unknown"


@pytest.mark.parametrize(
    ("with_prompt", "without_prompt", "notified"),
    [("x", "answer", ["team@12"]), ("answer", "answers", ["team@12"]), ("answer", "x", [])],
)
async def test_prompt_without_gain_is_reported_once(
    fresh, model, with_prompt, without_prompt, notified
):
    """Accepted texts are shorter with the prompt. Every suggestion is made in its own period."""
    now = 0
    model.prompt = "team@12"
    model.answer = lambda request: without_prompt if request.without_prompt else with_prompt
    await fresh.start({"comparisonShare": 0.5})
    fresh.server.notifications.prompt = "team@12"
    fresh.server.ab_test._clock = fresh.server.statistics._clock = lambda: now
    for _ in range(120):
        now += PERIOD_S
        fresh.open("x = ")
        (item,) = (await fresh.complete(0, 4))["result"]["items"]
        where = {"start": {"line": 0, "character": 4}, "end": {"line": 0, "character": 4}}
        fresh.change(2, {"range": where, "text": item["insertText"]})
        await accept(fresh, item)
        fresh.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
    summary = (await fresh.request("attune/statistics", {}))["result"]
    assert summary["ab_test"]["verdict"] == ("no_gain" if notified else "gain")
    await fresh.until(lambda: len(fresh.without_gain) >= len(notified))
    await fresh.delivered()
    assert fresh.without_gain == notified


async def test_statistics_hold_no_code_and_no_path(fresh, model):
    model.answer = lambda request: "'hunter2'"
    await fresh.start()
    fresh.open("password = ", "file:///work/space/secret/name.py")
    uri = "file:///work/space/secret/name.py"
    (item,) = (await fresh.complete(0, 11, uri=uri))["result"]["items"]
    await accept(fresh, item)
    summary = (await fresh.request("attune/statistics", {}))["result"]
    assert summary["with_prompt"]["accepted"] == 1
    folder = Path(summary["file"]).parent
    for file in folder.iterdir():
        for text in (b"hunter2", b"password", b"secret", b"name.py"):
            assert text not in file.read_bytes()


async def test_statistics_file_is_never_read_on_the_event_loop(fresh, model, monkeypatch):
    threads = set()
    connect = sqlite3.connect

    def traced(*arguments, **options):
        connection = connect(*arguments, **options)
        connection.set_trace_callback(lambda statement: threads.add(threading.get_ident()))
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    model.prompt = "team@12"
    await fresh.start({"comparisonShare": 0})  # the prompt always serves
    fresh.server.notifications.prompt = "team@12"
    fresh.open("x = ")
    (item,) = (await fresh.complete(0, 4))["result"]["items"]
    await accept(fresh, item)
    fresh.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
    summary = (await fresh.request("attune/statistics", {}))["result"]
    assert summary["with_prompt"]["retained_after_600_s"] == 0
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_no_ab_test_without_statistics(fresh, model):
    await fresh.start({"statistics": False, "comparisonShare": 0.5})
    for number in range(20):
        uri = f"file:///work/space/{number}.py"
        fresh.open("x = ", uri)
        await fresh.complete(0, 4, uri=uri)
    assert len(model.requests) == 20
    assert not any(request.without_prompt for request in model.requests)
    assert (await fresh.request("attune/statistics", {}))["result"]["file"] is None


async def test_latest_result(client, model):
    async def latest_result(uri: str = URI) -> dict | None:
        params = {"textDocument": {"uri": uri}}
        return (await client.request("attune/latestResult", params))["result"]

    assert await latest_result("file:///not/open.py") is None
    client.open("x = ")
    assert await latest_result() is None
    await client.complete(0, 0)  # the cache works once the model is loaded
    await client.complete(0, 4)
    first = await latest_result()
    assert (first["source"], first["reason"]) == ("model", None)
    client.change(2, {"text": "x = a"})
    await client.complete(0, 5)
    typed = await latest_result()
    assert (typed["source"], typed["prefilled"]) == ("cache", None)
    assert "completion cache" in typed["message"]
    model.answer = lambda request: ""
    client.change(3, {"text": "x = a."})
    await client.complete(0, 6)
    empty = await latest_result()
    assert empty["reason"] == "nothing_to_add"
    assert REASONS["nothing_to_add"] in empty["message"]
