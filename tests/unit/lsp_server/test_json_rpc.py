"""Every request gets an answer, and no message ends the connection."""

import json

import pytest

from lsp_server.framing import FramingError
from tests.unit.lsp_server.conftest import URI

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
NOT_INITIALIZED = -32002

POSITION = {"line": 0, "character": 4}
CONTEXT = {"triggerKind": 2}
DOCUMENT = {"uri": URI}
COMPLETION = {"textDocument": DOCUMENT, "position": POSITION, "context": CONTEXT}
INITIALIZE = {"processId": None, "rootUri": None, "capabilities": {}}


async def error_of(answer) -> int:
    return (await answer)["error"]["code"]


async def assert_serves(client) -> None:
    """The connection still completes."""
    client.open("x = ")
    (item,) = (await client.complete(0, 4))["result"]["items"]
    assert item["insertText"] == "answer"


@pytest.mark.parametrize("params", [None, {}, [], {"a": 1}])
async def test_unknown_request(client, params):
    assert await error_of(client.request("foo/bar", params)) == METHOD_NOT_FOUND
    assert await error_of(client.request("$/foo", params)) == METHOD_NOT_FOUND
    await assert_serves(client)


@pytest.mark.parametrize(
    "method", ["textDocument/didChange", "initialized", "exit", "$/cancelRequest"]
)
async def test_notification_sent_as_a_request(client, method):
    assert await error_of(client.request(method, {})) == METHOD_NOT_FOUND
    await assert_serves(client)


@pytest.mark.parametrize("method", ["shutdown", "initialize", "attune/latestResult"])
async def test_request_sent_as_a_notification(client, method):
    """It has no id, so it cannot be answered, and it does nothing."""
    client.notify(method, INITIALIZE)
    await assert_serves(client)


@pytest.mark.parametrize(
    "params",
    [
        None,
        {},
        [],
        [URI, POSITION],
        {"textDocument": DOCUMENT, "position": POSITION},
        COMPLETION | {"context": None},
        COMPLETION | {"context": {"triggerKind": 9}},
        COMPLETION | {"context": {"triggerKind": "1"}},
        COMPLETION | {"textDocument": {"uri": None}},
        COMPLETION | {"textDocument": {"uri": 5}},
        COMPLETION | {"textDocument": URI},
        COMPLETION | {"position": None},
    ]
    + [
        COMPLETION | {"position": POSITION | {name: value}}
        for name in ("line", "character")
        for value in (-1, 2**31, 2**40, 10**30, 1.5, "0", True, None, [])
    ],
)
async def test_invalid_params(client, model, params):
    client.open("x = ")
    answer = client.request("textDocument/inlineCompletion", params)
    assert await error_of(answer) == INVALID_PARAMS
    assert model.requests == []
    await assert_serves(client)


async def test_selected_entry_with_a_reversed_range(client, model):
    client.open("x = pa")
    reversed_range = {"start": {"line": 0, "character": 6}, "end": {"line": 0, "character": 4}}
    selected = {"range": reversed_range, "text": "path"}
    answer = client.complete(0, 6, selectedCompletionInfo=selected)
    assert await error_of(answer) == INVALID_PARAMS
    assert model.requests == []


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("attune/latestResult", {}),
        ("attune/latestResult", {"textDocument": {"uri": 5}}),
        ("workspace/executeCommand", {}),
        ("workspace/executeCommand", {"command": "unknown"}),
        ("workspace/executeCommand", {"command": "attune.didAcceptCompletionItem"}),
        (
            "workspace/executeCommand",
            {"command": "attune.didAcceptCompletionItem", "arguments": [1, 2]},
        ),
        ("textDocument/completion", {"textDocument": DOCUMENT}),
    ],
)
async def test_invalid_params_of_other_requests(client, method, params):
    if params.get("command") == "attune.didAcceptCompletionItem" and "arguments" not in params:
        expected = {INVALID_PARAMS, -32603}  # pygls calls the handler without arguments
    else:
        expected = {INVALID_PARAMS}
    assert await error_of(client.request(method, params)) in expected
    await assert_serves(client)


async def test_before_initialize(fresh, model):
    """Requests are refused, notifications are dropped, and initialize still works."""
    fresh.open("x = ")
    fresh.notify("initialized", {})
    for method in ("textDocument/inlineCompletion", "foo/bar", "shutdown", "attune/statistics"):
        assert await error_of(fresh.request(method, COMPLETION)) == NOT_INITIALIZED
    assert await error_of(fresh.request("initialize", {"capabilities": 5})) == INVALID_PARAMS
    await fresh.start()
    assert (await fresh.complete(0, 4))["result"] == {"items": []}  # it was never opened
    await assert_serves(fresh)


async def test_second_initialize(client, opened_with):
    client.open("x = ")
    assert await error_of(client.request("initialize", INITIALIZE)) == INVALID_REQUEST
    client.notify("initialized", {})
    assert (await client.complete(0, 4))["result"]["items"], "the document is still open"
    assert len(opened_with) == 1, "a second notification loads no second model"


async def test_after_shutdown(client, model):
    client.open("x = ")
    assert (await client.request("shutdown"))["result"] is None
    for method in ("textDocument/inlineCompletion", "foo/bar", "shutdown", "initialize"):
        assert await error_of(client.request(method, COMPLETION)) == INVALID_REQUEST
    client.open("y")  # a notification is dropped
    assert model.requests == []


async def test_shutdown_with_params_and_without(fresh):
    await fresh.start()
    assert (await fresh.request("shutdown", {"more": 1}))["result"] is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", PARSE_ERROR),
        (b"{", PARSE_ERROR),
        (b"nonsense", PARSE_ERROR),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "a", "params": {"a": NaN}}', PARSE_ERROR),
        (b"\xff\xfe", PARSE_ERROR),
        ('{"jsonrpc": "2.0"}'.encode("utf-16"), PARSE_ERROR),
        (b"[" * 100_000, PARSE_ERROR),
        (b'{"id": ' + b"9" * 10_000 + b"}", PARSE_ERROR),
        (b"null", INVALID_REQUEST),
        (b"5", INVALID_REQUEST),
        (b"[]", INVALID_REQUEST),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "a"}]', INVALID_REQUEST),
        (b"{}", INVALID_REQUEST),
        (b'{"method": "initialized"}', INVALID_REQUEST),
        (b'{"jsonrpc": "2.0"}', INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "method": 5}', INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "method": "foo", "params": "bar"}', INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": null, "method": "foo"}', INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": true, "method": "foo"}', INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": 1.5, "method": "foo"}', INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": {}, "method": "foo"}', INVALID_REQUEST),
    ],
)
async def test_malformed_message(client, body, code):
    """The answer has the id null, because the id of the request is not known."""
    client.send(body)
    assert [error["code"] for error in client.errors] == [code]
    await assert_serves(client)


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "1.0", "method": "foo"},
        {"method": "foo"},
        {"jsonrpc": "2.0", "method": None},
        {"jsonrpc": "2.0"},
        {"jsonrpc": "2.0", "method": "foo", "params": 5},
    ],
)
async def test_invalid_request_is_answered_with_its_id(client, message):
    answer = client.request("initialize", INITIALIZE)
    assert await error_of(answer) == INVALID_REQUEST
    received = []
    client.write = lambda data: received.append(json.loads(data))
    client.send(json.dumps(message | {"id": "mine"}).encode())
    assert [(answer["id"], answer["error"]["code"]) for answer in received] == [
        ("mine", INVALID_REQUEST)
    ]


@pytest.mark.parametrize("params", [None, {}, [], {"id": None}, {"id": 99}, {"id": [1]}])
async def test_cancellation_of_nothing(client, params):
    client.notify("$/cancelRequest", params)
    await assert_serves(client)


@pytest.mark.parametrize("message", [{"id": 0, "result": 1}, {"id": 99, "error": {"code": 1}}])
async def test_response_without_a_request(client, model, message):
    """Not even one with the id of a request of the client that is being answered."""
    client.open("x = ")
    model.gate.clear()
    answer = client.complete(0, 4)
    await model.began()
    client.send(json.dumps({"jsonrpc": "2.0", "id": 1, "result": 5}).encode())
    client.send(json.dumps({"jsonrpc": "2.0"} | message).encode())
    model.gate.set()
    assert (await answer)["result"]["items"]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("textDocument/didOpen", None),
        ("textDocument/didOpen", {"textDocument": {"uri": URI}}),
        ("textDocument/didOpen", {"textDocument": {"uri": None, "text": ""}}),
        ("textDocument/didChange", {}),
        ("textDocument/didChange", {"textDocument": {"uri": 5}, "contentChanges": []}),
        ("textDocument/didClose", {}),
        ("textDocument/didClose", {"textDocument": {"uri": "file:///never/opened.py"}}),
        ("textDocument/didFocus", {}),
        ("textDocument/didShowCompletion", {"item": {"command": {"arguments": []}}}),
        ("textDocument/didSave", {}),
        ("notebookDocument/didChange", {}),
        ("workspace/didChangeWorkspaceFolders", {"event": {}}),
        ("$/setTrace", {"value": "loud"}),
        ("unknown", {"class": 1, "a b": 2}),
    ],
)
async def test_malformed_notification(client, method, params):
    client.notify(method, params)
    assert client.errors == []
    await assert_serves(client)


async def test_nested_member_jsonrpc_is_data(fresh):
    """Only the outermost object is a message."""
    await fresh.start({"jsonrpc": "2.0", "id": 5})
    assert fresh.statuses[-1]["kind"] == "Warning"
    await assert_serves(fresh)


async def test_unframed_message(client):
    client.send(FramingError("The header has no valid Content-Length."))
    assert [error["code"] for error in client.errors] == [PARSE_ERROR]
    await assert_serves(client)
