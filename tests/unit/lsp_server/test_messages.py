"""What a client tells of a suggestion, and the suggestion list for clients without grey text."""

import pytest

from completion.reasons import REASONS
from lsp_server.outcomes import Settled

URI = "file:///work/space/package/module.py"
GREY_TEXT = {"textDocument": {"inlineCompletion": {}}}


@pytest.fixture
def settled(fresh, monkeypatch) -> list[Settled]:
    """What the server found, in order."""
    found: list[Settled] = []
    monkeypatch.setattr(fresh.server.outcomes, "_tell_settled", found.append)
    return found


async def test_accept_command(client, model, settled):
    client.open("x = ")
    (item,) = (await client.complete(0, 4))["result"]["items"]
    command = item["command"]
    params = {"command": command["command"], "arguments": command["arguments"]}
    assert (await client.request("workspace/executeCommand", params))["result"] is None
    assert [(one.how, one.taken) for one in settled] == [("accepted", 6)]


async def test_partial_acceptance_counts_utf16_units(client, model, settled):
    """From the start of the item, as the Copilot language server counts them."""
    model.answer = lambda request: "😀 smile"
    client.open("")
    (item,) = (await client.complete(0, 0))["result"]["items"]
    client.notify("textDocument/didShowCompletion", {"item": item})
    message = {"item": item, "acceptedLength": 3}
    client.notify("textDocument/didPartiallyAcceptCompletion", message)
    client.notify("textDocument/didRejectCompletion", {"item": item})
    assert [(one.how, one.taken) for one in settled] == [("partially accepted", 2)]


async def test_unknown_and_broken_items_change_nothing(client, model, settled):
    client.open("x = ")
    (item,) = (await client.complete(0, 4))["result"]["items"]
    for bad in ({}, {"item": {"insertText": "x"}}, {"item": {"command": {"arguments": ["no"]}}}):
        for name in ("didShow", "didPartiallyAccept", "didReject"):
            client.notify(f"textDocument/{name}Completion", bad | {"acceptedLength": "x"})
    params = {"command": item["command"]["command"], "arguments": ["no"]}
    await client.request("workspace/executeCommand", params)
    assert not settled


async def test_edits_settle_and_closing_forgets(client, model, settled):
    client.open("x = ")
    await client.complete(0, 4)
    where = {"start": {"line": 0, "character": 4}, "end": {"line": 0, "character": 4}}
    client.change(2, {"range": where, "text": "answer"})
    assert [one.how for one in settled] == ["accepted"]
    await client.complete(0, 10)
    client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
    assert [one.how for one in settled] == ["accepted", "dropped"]


async def test_grey_text_or_the_suggestion_list(fresh):
    """A client that can show grey text is not offered the same twice."""
    result = await fresh.start(**GREY_TEXT)
    assert "completionProvider" not in result["capabilities"]
    assert "inlineCompletionProvider" in result["capabilities"]


async def test_suggestion_list(client, model):
    """One entry from the word's start on, which replaces what grey text would replace."""
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


async def test_silence_is_told_when_it_changes(client, model):
    client.open("abcde")
    for place, answer in enumerate(("", "", "more", "more", "")):
        model.answer = lambda request, answer=answer: answer
        await client.complete(0, place)
    assert [one["reason"] for one in client.silences] == ["nothing_to_add", None, "nothing_to_add"]
    words = REASONS["nothing_to_add"]
    assert [one["message"] for one in client.silences] == [words, None, words]


async def test_rejected_text_does_not_return(client, model):
    """Learned silence: not at this place, unless it is asked for."""
    client.open("x")
    (item,) = (await client.complete(0, 1))["result"]["items"]
    client.server.outcomes._clock = lambda: float("inf")
    client.notify("textDocument/didRejectCompletion", {"item": item})
    assert (await client.complete(0, 1))["result"]["items"] == []
    assert (await client.complete(0, 1, invoked=True))["result"]["items"]


async def test_alternatives_are_items_of_their_own(client, model, settled):
    model.alternatives = ("other", "third")
    client.open("x = ")
    items = (await client.complete(0, 4, invoked=True))["result"]["items"]
    assert [item["insertText"] for item in items] == ["answer", "other", "third"]
    (id_,) = items[1]["command"]["arguments"]
    where = {"start": {"line": 0, "character": 4}, "end": {"line": 0, "character": 4}}
    client.change(2, {"range": where, "text": "other"})
    assert [(one.id, one.how) for one in settled] == [(id_, "accepted")]


async def test_statistics_and_comparison(fresh, model):
    """A share of the answers is made without the prompt, and every fate is counted on its side."""
    model.prompt = "team@12"
    await fresh.start({"comparisonShare": 0.5})
    drawn = {}
    for number in range(40):
        uri = f"file:///work/space/{number}.py"
        fresh.open("x = ", uri)
        (item,) = (await fresh.complete(0, 4, uri=uri))["result"]["items"]
        drawn[uri] = model.requests[-1].without_prompt
        command = item["command"]
        params = {"command": command["command"], "arguments": command["arguments"]}
        await fresh.request("workspace/executeCommand", params)
    assert 0 < sum(drawn.values()) < 40
    fresh.server.prompt = "team@12"
    summary = (await fresh.request("attune/statistics", {}))["result"]
    assert summary["without_prompt"]["accepted"] == sum(drawn.values())
    assert summary["with_prompt"]["accepted"] == 40 - sum(drawn.values())
    assert summary["comparison"]["verdict"] == "unknown"


async def test_worthless_prompt_is_told_once(fresh, model, monkeypatch):
    monkeypatch.setattr("lsp_server.statistics.ENOUGH", 3)
    model.prompt = fresh.server.prompt = "team@12"
    await fresh.start({"comparisonShare": 0.5})
    fresh.server.prompt = "team@12"
    for number in range(40):
        uri = f"file:///work/space/{number}.py"
        fresh.open("x = ", uri)
        (item,) = (await fresh.complete(0, 4, uri=uri))["result"]["items"]
        command = item["command"]
        params = {"command": command["command"], "arguments": command["arguments"]}
        await fresh.request("workspace/executeCommand", params)
        fresh.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    assert fresh.worthless == ["team@12"]


async def test_without_statistics_nothing_is_compared(fresh, model):
    await fresh.start({"statistics": False, "comparisonShare": 0.5})
    for number in range(20):
        uri = f"file:///work/space/{number}.py"
        fresh.open("x = ", uri)
        await fresh.complete(0, 4, uri=uri)
    assert not any(request.without_prompt for request in model.requests)
    assert (await fresh.request("attune/statistics", {}))["result"]["file"] is None


async def test_what_served_the_latest_answer_is_told(client, model):
    async def why(uri: str = URI) -> dict | None:
        params = {"textDocument": {"uri": uri}}
        return (await client.request("attune/why", params))["result"]

    assert await why("file:///not/open.py") is None
    client.open("x = ")
    assert await why() is None
    await client.complete(0, 0)  # once the model has answered, its answers are remembered
    await client.complete(0, 4)
    first = await why()
    assert (first["source"], first["reason"]) == ("model", None)
    client.change(2, {"text": "x = a"})
    await client.complete(0, 5)
    typed = await why()
    assert (typed["source"], typed["computed"]) == ("cache", None)
    assert "known already" in typed["message"]
    model.answer = lambda request: ""
    client.change(3, {"text": "x = a."})
    await client.complete(0, 6)
    empty = await why()
    assert empty["reason"] == "nothing_to_add"
    assert REASONS["nothing_to_add"] in empty["message"]
