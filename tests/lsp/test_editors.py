"""What docs/editors.md promises to every client: both kinds of completion, and statistics."""

from typing import Any

import pytest
from lsprotocol import types

pytestmark = pytest.mark.slow

TEXT = "import os\n\n\ndef main() -> int:\n    path = os."
LINE, CHARACTER = 4, 14


async def statistics(session) -> Any:
    return await session.client.protocol.send_request_async("attune/statistics", {})


def insert(session, uri: str, version: int, text: str) -> None:
    where = types.Range(types.Position(LINE, CHARACTER), types.Position(LINE, CHARACTER))
    change = types.TextDocumentContentChangePartial(where, text)
    document = types.VersionedTextDocumentIdentifier(version, uri)
    session.client.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))


async def test_client_without_inline_completion_gets_list_entries(connect):
    """The same text from the start of the word, and only one of the two kinds."""
    session = await connect()
    result = await session.start(inline_completion=False)
    assert result.capabilities.completion_provider is not None
    uri = session.open("module.txt", TEXT)
    params = types.CompletionParams(
        types.TextDocumentIdentifier(uri), types.Position(LINE, CHARACTER)
    )
    (entry,) = (await session.client.text_document_completion_async(params)).items
    assert entry.label
    assert entry.text_edit.new_text.strip().startswith(entry.label)
    assert entry.text_edit.range.start.line == entry.text_edit.range.end.line == LINE
    assert entry.command.command in result.capabilities.execute_command_provider.commands
    command = types.ExecuteCommandParams(entry.command.command, entry.command.arguments)
    await session.client.workspace_execute_command_async(command)
    assert (await statistics(session)).with_prompt.accepted == 1
    assert await session.end() == 0


async def test_acceptance_is_derived_from_edits(connect):
    """Without any report of the client; the statistics outlive the server."""
    session = await connect()
    result = await session.start()
    assert result.capabilities.completion_provider is None
    uri = session.open("module.txt", TEXT)
    (item,) = await session.complete(uri, LINE, CHARACTER)
    insert(session, uri, 2, item.insert_text)
    summary = (await statistics(session)).with_prompt
    assert (summary.suggestions, summary.accepted) == (1, 1)
    assert summary.characters_accepted == len(item.insert_text)
    assert await session.end() == 0

    again = await connect()
    await again.start()
    await again.settled()
    summary = (await statistics(again)).with_prompt
    assert summary.accepted == 1
    assert summary.retained_after_600_s == len(item.insert_text)
    assert await again.end() == 0


async def test_pending_partial_acceptance_is_counted_at_the_end(connect):
    session = await connect()
    await session.start()
    uri = session.open("module.txt", TEXT)
    (item,) = await session.complete(uri, LINE, CHARACTER)
    assert len(item.insert_text) > 2
    insert(session, uri, 2, item.insert_text[:-1])
    assert await session.end() == 0

    again = await connect()
    await again.start()
    await again.settled()
    summary = (await statistics(again)).with_prompt
    assert summary.partially_accepted == 1
    assert summary.retained_after_600_s == len(item.insert_text) - 1
    assert await again.end() == 0


async def test_messages_of_the_copilot_protocol(connect):
    session = await connect()
    await session.start()
    uri = session.open("module.txt", TEXT)
    (item,) = await session.complete(uri, LINE, CHARACTER)
    sent = {"insertText": item.insert_text, "command": {"arguments": item.command.arguments}}
    notify = session.client.protocol.notify
    notify("textDocument/didShowCompletion", {"item": sent})
    notify("textDocument/didPartiallyAcceptCompletion", {"item": sent, "acceptedLength": 1})
    notify("textDocument/didRejectCompletion", {"item": sent})
    assert (await statistics(session)).with_prompt.partially_accepted == 1
    assert await session.end() == 0


async def test_statistics_can_be_off(connect):
    session = await connect()
    await session.start({"statistics": False})
    assert (await statistics(session)).file is None
    assert await session.end() == 0
