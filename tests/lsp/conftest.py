"""A real server process, and an independent client (pytest-lsp)."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pytest_lsp import LanguageClient, make_test_lsp_client

SERVE = (sys.executable, "-I", "-m", "attune", "serve")


class Session:
    """A client with its server, and the statuses that the server sent."""

    def __init__(self, client: LanguageClient, workspace: Path) -> None:
        self.client = client
        self.workspace = workspace
        self.statuses: list[Any] = []
        self._arrived = asyncio.Event()

        @client.feature("attune/didChangeStatus")
        def _(params: Any) -> None:
            self.statuses.append(params)
            self._arrived.set()

    async def start(
        self, options: dict[str, Any] | None = None, *, inline_completion: bool = True
    ) -> types.InitializeResult:
        """Initialize as a client with inline completion, or as one without."""
        inline = types.InlineCompletionClientCapabilities() if inline_completion else None
        text_document = types.TextDocumentClientCapabilities(inline_completion=inline)
        params = types.InitializeParams(
            capabilities=types.ClientCapabilities(text_document=text_document),
            workspace_folders=[types.WorkspaceFolder(self.workspace.as_uri(), "space")],
            initialization_options=options,
        )
        return await self.client.initialize_session(params)

    async def settled(self) -> Any:
        """The first status that is not busy."""
        while True:
            for status in self.statuses:
                if not status.busy:
                    return status
            await self.arrived()

    async def arrived(self) -> None:
        """Wait for one more status."""
        await self._arrived.wait()
        self._arrived.clear()

    def open(self, name: str, text: str, language: str = "plaintext") -> str:
        uri = (self.workspace / name).as_uri()
        item = types.TextDocumentItem(uri, language, 1, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return uri

    async def complete(
        self,
        uri: str,
        line: int,
        character: int,
        msg_id: str | None = None,
        trigger: types.InlineCompletionTriggerKind = types.InlineCompletionTriggerKind.Automatic,
    ) -> list[types.InlineCompletionItem]:
        params = types.InlineCompletionParams(
            context=types.InlineCompletionContext(trigger),
            text_document=types.TextDocumentIdentifier(uri),
            position=types.Position(line, character),
        )
        method = types.TEXT_DOCUMENT_INLINE_COMPLETION
        return list((await self.client.protocol.send_request_async(method, params, msg_id)).items)

    async def end(self) -> int:
        """Shut down and exit; the process's exit code."""
        await self.client.shutdown_session()
        return self.client._server.returncode


@pytest.fixture
def environment(tiny_model: Path) -> dict[str, str]:
    """The environment of the server's process."""
    return os.environ | {"ATTUNE_MODEL": str(tiny_model)}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "space"
    folder.mkdir()
    return folder


@pytest.fixture
def neutral(tmp_path: Path) -> Path:
    """The working directory of the servers."""
    folder = tmp_path / "neutral"
    folder.mkdir()
    return folder


@pytest.fixture
async def connect(
    workspace: Path, neutral: Path, environment: dict[str, str]
) -> AsyncIterator[Callable[..., Awaitable[Session]]]:
    """Starts servers for the workspace; those that still run after the test are killed."""
    clients: list[LanguageClient] = []

    async def start(cwd: Path = neutral, **more: str) -> Session:
        client = make_test_lsp_client()
        clients.append(client)
        await client.start_io(*SERVE, cwd=cwd, env=environment | more)
        return Session(client, workspace)

    yield start
    for client in clients:
        if client._server.returncode is None:
            client._server.kill()
        await client.stop()
