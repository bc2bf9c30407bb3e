"""The language server: what it answers, and how it runs over stdio or TCP."""

import asyncio
import contextlib
import logging
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from code_context.positions import LineIndex
from lsp_server.documents import Utf16Protocol, edited, folders, snapshot
from lsp_server.engine import (
    Complete,
    CompletionRequest,
    EngineThread,
    OpenEngine,
    Tell,
    describe,
)
from lsp_server.log import log_to_stderr
from lsp_server.protocol import DID_CHANGE_STATUS, LOADING, OFF, Status
from lsp_server.settings import Settings, parse_settings

logger = logging.getLogger(__name__)


class AttuneServer(LanguageServer):
    """The state of one connection."""

    def __init__(self, open_engine: OpenEngine) -> None:
        super().__init__("attune", metadata.version("attune"), protocol_cls=Utf16Protocol)
        self.engine = EngineThread(open_engine)
        self.settings = Settings()
        self.settings_problem: str | None = None
        self.shutdown_requested = False

    def tell(self, status: Status) -> None:
        """Send a status; a problem with the settings stays visible behind whatever follows."""
        if self.settings_problem is not None and status.kind == "Normal" and not status.busy:
            status = Status("Warning", False, f"{self.settings_problem} {status.message}")
        self.protocol.notify(DID_CHANGE_STATUS, status)

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Log it; pygls would show a pop-up."""
        logger.error("A message could not be handled (%s).", describe(error))

    def shutdown(self) -> None:
        """Stop the engine and the connection."""
        self.engine.close()
        super().shutdown()  # type: ignore[no-untyped-call]


def create_server(open_engine: OpenEngine | None = None) -> AttuneServer:
    """A server that is not connected yet; `open_engine` is called on the engine thread."""
    server = AttuneServer(open_engine or _open_engine)
    server.feature(types.INITIALIZE)(_initialize)
    server.feature(types.INITIALIZED)(_initialized)
    # Without options pygls would not announce the feature.
    options = types.InlineCompletionOptions()
    server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, options)(_inline_completion)
    server.feature(types.SHUTDOWN)(_shutdown)
    return server


def serve(tcp: tuple[str, int] | None = None) -> None:
    """Serve one client over stdio, or over TCP at (host, port), until it leaves.

    Raises `SystemExit` with 1 if the client left without asking for a shutdown, `OSError` if the
    address cannot be listened to.
    """
    log_to_stderr()
    server = create_server()
    try:
        if tcp is None:
            server.start_io(stdout=_claim_stdout())
        else:
            server.start_tcp(*tcp)
    finally:
        server.engine.close()
    if not server.shutdown_requested:
        sys.exit(1)


def _claim_stdout() -> BinaryIO:
    """A private way to the client: whatever else the process prints goes to stderr."""
    sys.stdout.flush()
    claimed = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return os.fdopen(claimed, "wb")


def _open_engine(settings: Settings, root: Path | None, tell: Tell) -> Complete:
    # Here, because it imports torch, for which `initialize` must not wait.
    from lsp_server.model import open_engine

    return open_engine(settings, root, tell)


def _initialize(ls: AttuneServer, params: types.InitializeParams) -> None:
    ls.settings, ls.settings_problem = parse_settings(params.initialization_options)


def _initialized(ls: AttuneServer, params: types.InitializedParams) -> None:
    if not ls.settings.enable:
        ls.tell(OFF)
        return
    ls.tell(LOADING)
    loop = asyncio.get_running_loop()

    def tell(status: Status) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the client has left
            loop.call_soon_threadsafe(ls.tell, status)

    roots = folders(ls.workspace)
    ls.engine.open(ls.settings, roots[0] if roots else None, tell)


async def _inline_completion(
    ls: AttuneServer, params: types.InlineCompletionParams
) -> types.InlineCompletionList:
    try:
        items = await _items(ls, params)
    except Exception as error:
        logger.error("An inline completion failed (%s).", describe(error))
        items = []
    return types.InlineCompletionList(items)


async def _items(
    ls: AttuneServer, params: types.InlineCompletionParams
) -> list[types.InlineCompletionItem]:
    uri = params.text_document.uri
    before = snapshot(ls.workspace, uri)
    if before is None:
        return []
    lines = LineIndex(before.text)
    offset = lines.from_utf16(params.position.line, params.position.character)
    cursor = types.Position(*lines.to_utf16(offset))
    replaced, typed, text = types.Range(cursor, cursor), "", before.text
    if selected := params.context.selected_completion_info:
        # The editor's list is open, and only what continues its selected entry can be shown.
        replaced, typed = selected.range, selected.text
        text = edited(text, types.TextDocumentContentChangePartial(replaced, typed))
        start = replaced.start
        offset = lines.from_utf16(start.line, start.character) + len(typed)
    explicit = params.context.trigger_kind is types.InlineCompletionTriggerKind.Invoked
    answer = await ls.engine.complete(CompletionRequest(text, before.path, offset, explicit))
    if not answer.text or not before.is_current(ls.workspace, uri):
        return []
    return [types.InlineCompletionItem(typed + answer.text, range=replaced)]


def _shutdown(ls: AttuneServer, params: None) -> None:
    ls.shutdown_requested = True
    ls.engine.close()
