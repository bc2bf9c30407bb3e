"""The server's text is the client's, or the document is refused until it is sent again."""

import pytest

from tests.unit.lsp_server.conftest import URI


def span(start: tuple[int, int], end: tuple[int, int], text: str) -> dict:
    """A change of a range."""
    names = ("line", "character")
    return {
        "range": {
            "start": dict(zip(names, start, strict=True)),
            "end": dict(zip(names, end, strict=True)),
        },
        "text": text,
    }


def change(client, *changes, version=2, uri=URI, **more) -> None:
    document = {"uri": uri, "version": version}
    params = {"textDocument": document, "contentChanges": list(changes)} | more
    client.notify("textDocument/didChange", params)


async def text_of(client, model) -> str | None:
    """The text that the model gets; None if the document is refused."""
    before = len(model.requests)
    await client.complete(0, 0, invoked=True)
    return model.requests[-1].text if len(model.requests) > before else None


@pytest.fixture(autouse=True)
def empty_answers(model):
    """Nothing is cached and nothing prefetched."""
    model.answer = lambda request: ""


@pytest.mark.parametrize("version", [None, 1, 0, -5, 2**40, "2", 1.5])
async def test_versions_are_not_read(client, model, version):
    """The connection keeps the order, so a wrong version is no reason to lose an edit."""
    client.open("ab")
    change(client, span((0, 1), (0, 1), "x"), version=version)
    assert await text_of(client, model) == "axb"


async def test_missing_version_and_language(client, model):
    item = {"uri": URI, "text": "ab", "version": None}
    client.notify("textDocument/didOpen", {"textDocument": item})
    document = {"uri": URI}
    params = {"textDocument": document, "contentChanges": [span((0, 0), (0, 1), "")]}
    client.notify("textDocument/didChange", params)
    assert await text_of(client, model) == "b"


INVALID = [
    span((0, 2), (0, 1), "x"),
    span((1, 0), (0, 0), "x"),
    span((-1, 0), (0, 0), "x"),
    span((0, 0), (0, -1), "x"),
    span((0, 0), (0, 2**31), "x"),
    span((0, 0), (0, 1.5), "x"),
    span((0, 0), (0, None), "x"),
    span((0, "0"), (0, 1), "x"),
    span((0, 0), (0, 1), None),
    {"range": 5, "text": "x"},
    {"range": {"start": {"line": 0, "character": 0}}, "text": "x"},
    {"text": 5},
    {},
    None,
    5,
]


@pytest.mark.parametrize("invalid", INVALID)
async def test_invalid_edit_refuses_the_document(client, model, invalid):
    """None of the message's changes is applied, and later edits of an unknown text neither."""
    client.open("abc\ndef")
    change(client, span((0, 0), (0, 0), "1"), invalid)
    assert await text_of(client, model) is None
    assert client.empty_reasons[-1]["reason"] == "out_of_sync"
    change(client, span((0, 0), (0, 0), "2"))
    assert await text_of(client, model) is None
    change(client, {"text": "whole"})
    assert await text_of(client, model) == "whole"
    change(client, span((0, 5), (0, 5), "!"))
    assert await text_of(client, model) == "whole!"


@pytest.mark.parametrize("changes", [None, {}, "x", 5])
async def test_changes_that_are_no_list_refuse_the_document(client, model, changes):
    client.open("ab")
    change(client, contentChanges=changes)
    assert await text_of(client, model) is None
    client.open("again")
    assert await text_of(client, model) == "again"


async def test_whole_text_after_an_invalid_edit_in_one_message(client, model):
    """A valid message with a whole text brings a refused document back."""
    client.open("ab")
    change(client, INVALID[0])
    change(client, span((0, 0), (0, 0), "1"), {"text": "new"}, span((0, 3), (0, 3), "er"))
    assert await text_of(client, model) == "newer"


async def test_refused_document_is_not_shown_to_others(client, model):
    other = "file:///work/space/other.py"
    client.open("ab")
    client.open("cd", uri=other)
    change(client, INVALID[0], uri=other)
    await text_of(client, model)
    assert model.requests[-1].documents == {"package/module.py": "ab"}


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ((0, 99), (0, 99), "abx\ncd"),
        ((0, 1), (0, 2**31 - 1), "ax\ncd"),
        ((9, 0), (9, 9), "ab\ncdx"),
        ((1, 1), (2**31 - 1, 0), "ab\ncx"),
    ],
)
async def test_positions_behind_the_end_mean_the_end(client, model, start, end, expected):
    """As LSP says of characters and as editors do with lines."""
    client.open("ab\ncd")
    change(client, span(start, end, "x"))
    assert await text_of(client, model) == expected


async def test_unknown_document_is_not_opened_by_a_change(client, model, tmp_path):
    file = tmp_path / "module.py"
    file.write_text("on disk")
    uri = file.as_uri()
    change(client, {"text": "never opened"}, uri=uri)
    change(client, span((0, 0), (0, 0), "x"), uri=uri)
    assert (await client.complete(0, 0, uri=uri))["result"] == {"items": []}
    assert model.requests == []


async def test_closed_document_is_not_open(client, model):
    client.open("ab")
    client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
    change(client, span((0, 0), (0, 0), "x"))
    assert await text_of(client, model) is None
    assert client.empty_reasons[-1]["reason"] == "not_open"


async def test_open_document_is_replaced_by_opening_it_again(client, model):
    client.open("ab")
    client.open("cd")
    assert await text_of(client, model) == "cd"


async def test_halves_of_a_character_become_one_again(client, model):
    """An editor whose texts are UTF-16 may send a pair in two edits, or delete half of one."""
    client.open("a😀b")
    change(client, span((0, 2), (0, 3), ""))
    assert await text_of(client, model) == "a\ufffdb"
    change(client, span((0, 2), (0, 2), "\ude01"))
    assert await text_of(client, model) == "a😁b"
    change(client, span((0, 2), (0, 2), "-"))
    assert await text_of(client, model) == "a\ufffd-\ufffdb"
    change(client, span((0, 2), (0, 3), ""))
    assert await text_of(client, model) == "a😁b"


async def test_lone_surrogate_in_an_opened_document(client, model):
    client.open("a\ud83db")
    assert await text_of(client, model) == "a\ufffdb"
    change(client, {"text": "\ude00"})
    assert await text_of(client, model) == "\ufffd"
