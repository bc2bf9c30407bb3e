"""Answers to `textDocument/inlineCompletion`."""

import asyncio
import logging

import pytest
import torch

from code_model.out_of_memory import OutOfModelMemoryError, is_out_of_memory
from completion.reasons import REASONS
from lsp_server import documents, server
from tests.unit.lsp_server.conftest import URI

REQUEST_CANCELLED = -32800
EMPTY = {"items": []}


def edit(line: int, start: int, end: int, text: str) -> dict:
    """A change within one line."""
    positions = ({"line": line, "character": character} for character in (start, end))
    return {"range": dict(zip(("start", "end"), positions, strict=True)), "text": text}


async def test_answer_is_inserted_at_the_cursor(client, model):
    """The item replaces nothing: its range is empty, at the cursor."""
    client.open("import os\nos.")
    response = await client.complete(1, 3)
    cursor = {"line": 1, "character": 3}
    (item,) = response["result"]["items"]
    assert item["insertText"] == "answer"
    assert item["range"] == {"start": cursor, "end": cursor}
    assert item["command"]["command"] == "attune.didAcceptCompletionItem"
    assert len(item["command"]["arguments"]) == 1
    (request,) = model.requests
    assert (request.text, request.offset) == ("import os\nos.", 13)
    assert request.path == "package/module.py"
    assert not request.explicit


async def test_invoked_is_explicit(client, model):
    client.open("# ")
    await client.complete(0, 2, invoked=True)
    assert model.requests[0].explicit


async def test_selected_entry_of_the_editors_list_is_continued(client, model):
    """The model sees the entry as typed, and the item replaces what the entry would replace."""
    client.open("😀\nos.pa)")
    where = {"start": {"line": 1, "character": 3}, "end": {"line": 1, "character": 5}}
    selected = {"range": where, "text": "path"}
    response = await client.complete(1, 5, selectedCompletionInfo=selected)
    (item,) = response["result"]["items"]
    assert (item["insertText"], item["range"]) == ("pathanswer", where)
    assert (model.requests[0].text, model.requests[0].offset) == ("😀\nos.path)", 9)


async def test_closers_that_the_editor_inserted_are_replaced(client, model):
    """Else the brackets would be there twice. The rest of the line stays."""
    model.answer = lambda request: "a, b)]"
    client.open("x[f()] + 1")
    (item,) = (await client.complete(0, 4))["result"]["items"]
    assert item["range"]["end"] == {"line": 0, "character": 6}


async def test_nothing_to_add_is_an_empty_list(client, model):
    model.answer = lambda request: ""
    client.open("x")
    assert (await client.complete(0, 1))["result"] == EMPTY


async def test_a_place_where_the_model_says_nothing_counts_while_the_user_types(
    client, model, monkeypatch
):
    silent: list[int] = []
    tracker = client.server.outcomes
    monkeypatch.setattr(tracker, "not_shown", lambda uri, line, source: silent.append(line))
    model.answer = lambda request: ""
    client.open("x\ny")
    await client.complete(1, 1, invoked=True)
    assert silent == []
    await client.complete(0, 1)
    assert silent == [0]


async def test_unopened_document_is_not_read_from_disk(client, model, tmp_path):
    file = tmp_path / "module.py"
    file.write_text("x = 1")
    assert (await client.complete(0, 1, uri=file.as_uri()))["result"] == EMPTY
    assert not model.requests


@pytest.mark.parametrize(
    ("line", "character", "offset"),
    [(0, 2, 2), (0, 4, 3), (1, 0, 5), (1, 2, 6), (1, 3, 7), (1, 99, 7), (99, 0, 7)],
)
async def test_positions_count_utf16_units(client, model, line, character, offset):
    """An astral character is two units for the editor and one code point in the server."""
    client.open("ab😀c\n😀y")
    response = await client.complete(line, character)
    assert model.requests[0].offset == offset
    if character < 99 and line < 99:
        (item,) = response["result"]["items"]
        assert item["range"]["end"] == {"line": line, "character": character}


async def test_utf16_is_announced_whatever_the_client_prefers(fresh):
    result = await fresh.start(general={"positionEncodings": ["utf-8", "utf-16"]})
    assert result["capabilities"]["positionEncoding"] == "utf-16"
    assert "inlineCompletionProvider" in result["capabilities"]


async def test_edits_count_utf16_units_and_lsp_lines(client, model):
    """A form feed, a vertical tab or U+2028 ends no line; an astral character is two units."""
    client.open("a = '\f\v\u2028'\r\nb = '😀'\nc")
    client.change(2, edit(1, 7, 7, "; d"), edit(2, 1, 1, ".e"))
    await client.complete(2, 3)
    assert model.requests[0].text == "a = '\f\v\u2028'\r\nb = '😀; d'\nc.e"


async def test_whole_document_change(client, model):
    client.open("a")
    client.change(2, {"text": "b\n"})
    await client.complete(1, 0)
    assert model.requests[0].text == "b\n"


async def test_latest_request_wins(client, model):
    """A newer request stops the running one at its next token; waiting ones never start."""
    client.open("abc")
    model.gate.clear()
    running = client.complete(0, 1)
    await model.began()
    waiting = client.complete(0, 2)
    latest = client.complete(0, 3)
    await client.delivered()
    model.gate.set()
    assert (await running)["result"] == EMPTY
    assert (await waiting)["result"] == EMPTY
    assert (await latest)["result"]["items"][0]["insertText"] == "answer"
    assert [request.offset for request in model.requests] == [1, 3]
    assert [request.offset for request in model.cancelled] == [1]


async def test_cancel_request_reaches_the_engine(client, model):
    """The client is answered at once; the model stops at its next token and serves the next."""
    client.open("abc")
    model.gate.clear()
    answer = client.complete(0, 1)
    await model.began()
    client.notify("$/cancelRequest", {"id": 1})
    assert (await answer)["error"]["code"] == REQUEST_CANCELLED
    model.gate.set()
    await model.ended()
    assert model.cancelled == model.requests
    assert (await client.complete(0, 2))["result"]["items"]


@pytest.mark.parametrize("how", ["changed", "closed", "reopened"])
async def test_stale_answer_is_dropped(client, model, how):
    """An answer for a text that the editor no longer has is not sent."""
    client.open("abc")
    model.gate.clear()
    answer = client.complete(0, 3)
    await model.began()
    if how == "changed":
        client.change(2, edit(0, 3, 3, "d"))
    else:
        uri = "file:///work/space/package/module.py"
        client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    if how == "reopened":
        client.open("other")
    model.gate.set()
    assert (await answer)["result"] == EMPTY


async def test_answer_that_becomes_stale_before_it_is_sent_is_dropped(client, model, monkeypatch):
    """Between the end of a handler and its answer, the event loop may handle another message."""
    suggest = server.suggest

    async def then_edited(*arguments):
        suggestions = await suggest(*arguments)
        asyncio.get_running_loop().call_soon(client.change, 2, edit(0, 3, 3, "d"))
        return suggestions

    client.open("abc")
    monkeypatch.setattr(server, "suggest", then_edited)
    assert (await client.complete(0, 3))["result"] == EMPTY
    monkeypatch.setattr(server, "suggest", suggest)
    assert len((await client.complete(0, 4))["result"]["items"]) == 1


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfModelMemoryError("the device is full"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
            "memory: you tried to allocate 4000000000000 bytes. Error code 12"
        ),
    ],
)
async def test_no_memory_for_a_decode_is_said_and_the_next_request_is_served(client, model, error):
    def fail(request):
        raise error

    client.open("abc = ")
    model.answer = fail
    assert (await client.complete(0, 6))["result"] == EMPTY
    assert client.empty_reasons[-1]["reason"] == "out_of_memory"
    model.answer = lambda request: "fine"
    assert (await client.complete(0, 6))["result"]["items"][0]["insertText"] == "fine"


def test_what_torch_raises_without_memory_is_known():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 60)
    assert is_out_of_memory(raised.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."))
    assert not is_out_of_memory(ValueError("out of memory"))


async def test_error_gives_an_empty_answer_and_a_log_without_code(client, model, caplog):
    """One failing request does not end the server, and its message stays out of the log."""

    def fail(request):
        raise ValueError(f"cannot do {request.text}")

    client.open("password = 'secret'")
    model.answer = fail
    assert (await client.complete(0, 3))["result"] == EMPTY
    records = [record for record in caplog.records if record.name == "lsp_server.server"]
    assert [record.levelno for record in records] == [logging.ERROR]
    assert "ValueError" in records[0].getMessage()
    assert "secret" not in caplog.text
    model.answer = lambda request: "fine"
    assert (await client.complete(0, 3))["result"]["items"][0]["insertText"] == "fine"


async def test_request_while_loading_is_answered_when_ready(model, fresh):
    """The event loop answers `initialize` at once, and a completion waits for the model."""
    model.gate.clear()
    open_now = fresh.server.open_model

    def open_late(settings, roots, report):
        assert model.gate.wait(60)
        return open_now(settings, roots, report)

    fresh.server.open_model = open_late
    params = {"processId": None, "rootUri": None, "capabilities": {}}
    await fresh.request("initialize", params)
    fresh.notify("initialized", {})
    fresh.open("abc")
    answer = fresh.complete(0, 3)
    assert [status["busy"] for status in fresh.statuses] == [True]
    model.gate.set()
    assert (await answer)["result"]["items"]


async def test_shutdown_cancels_what_runs(client, model):
    client.open("abc")
    model.gate.clear()
    answer = client.complete(0, 3)
    await model.began()
    assert (await client.request("shutdown", None))["result"] is None
    assert "error" in await answer
    model.gate.set()
    await model.ended()
    assert model.cancelled == model.requests


async def test_documents_are_warmed_when_opened_and_focused(client, model):
    """A document that is not open is ignored."""
    client.open("import os\n")
    await model.fit_check_began()  # follows each warm-up
    for uri in ("file:///not/open.py", URI):
        client.notify("textDocument/didFocus", {"textDocument": {"uri": uri}})
    await model.fit_check_began()
    assert [request.path for request in model.warmed] == ["package/module.py"] * 2
    assert model.requests == []


async def test_a_document_that_is_too_large_gets_no_completions(client, model, caplog):
    """Its text is not kept. It is served again once it is sent as a whole and is smaller."""
    with caplog.at_level(logging.WARNING):
        client.open("    value = compute(first, second)\n" * 1_430_000)
    assert REASONS["too_large"] in caplog.text
    client.change(2, edit(700_000, 4, 4, "x"))
    assert (await client.complete(700_000, 5))["result"] == {"items": []}
    assert client.empty_reasons[-1]["reason"] == "too_large"
    assert client.server.documents.get(URI).text == ""
    assert model.requests == []
    assert model.warmed == []
    client.change(3, {"text": "value = "})
    (item,) = (await client.complete(0, 8))["result"]["items"]
    assert item["insertText"] == "answer"
    assert model.requests[-1].text == "value = "


async def test_a_document_that_grows_too_large_gets_no_completions(client, model, monkeypatch):
    monkeypatch.setattr(documents, "MAX_CHARACTERS", 10)
    client.open("123456789")
    client.change(2, edit(0, 9, 9, "0"))
    await client.complete(0, 10)
    assert [request.text for request in model.requests] == ["1234567890"]
    client.change(3, edit(0, 10, 10, "1"), edit(0, 0, 9, ""))
    assert (await client.complete(0, 1))["result"] == {"items": []}
    assert client.empty_reasons[-1]["reason"] == "too_large"
