"""The language server: its message handlers, and how it runs over stdio or TCP."""

import asyncio
import contextlib
import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams
from pygls.io_ import StdoutWriter
from pygls.lsp.server import LanguageServer

from code_context.positions import code_points
from code_model.allocator import return_large_blocks
from code_model.out_of_memory import is_out_of_memory
from completion.completion_model import CompletionModel
from completion.errors import describe
from completion.reasons import REASONS
from completion.request import CompletionResult
from completion.scheduler import CompletionScheduler
from completion.status import Status, StatusListener
from lsp_server.ab_test import AbTest
from lsp_server.connection import StreamReader, listen, receive_all
from lsp_server.document_sync import DidChangeParams, DidCloseParams, DidOpenParams, change
from lsp_server.documents import Documents
from lsp_server.edits import InvalidEditError
from lsp_server.json_rpc import LspProtocol
from lsp_server.locations import workspace_folders, workspace_roots
from lsp_server.log import log_to_stderr
from lsp_server.notifications import Notifications
from lsp_server.outcomes import Outcome, OutcomeTracker, Retention
from lsp_server.protocol import (
    DID_ACCEPT,
    DID_FOCUS,
    DID_PARTIALLY_ACCEPT,
    DID_REJECT,
    DID_SHOW,
    LATEST_RESULT,
    LOADING,
    OFF,
    PARAMS_TYPES,
    REQUESTS,
    STATISTICS,
    DocumentParams,
    ItemParams,
    LatestResult,
    PartialAcceptanceParams,
)
from lsp_server.sequential_test import AbTestResult
from lsp_server.settings import Settings, parse_settings
from lsp_server.statistics import Statistics, Summary
from lsp_server.suggestions import (
    CompletionPosition,
    Suggestion,
    Suggestions,
    completion_request,
    suggest,
)
from prompts.user import user_folder

logger = logging.getLogger(__name__)

OpenModel = Callable[[Settings, Sequence[Path], StatusListener], CompletionModel]
"""Loads the models for the settings and the roots of the workspace, on the worker thread.

Raises `completion.errors.ModelUnavailableError` if it cannot.
"""

STATISTICS_FILE = "statistics.sqlite3"


class AttuneServer(LanguageServer):
    """The state of one connection. Everything here runs on the event loop.

    Reason for its size: pygls passes every message handler this one object.
    """

    def __init__(self, open_model: OpenModel) -> None:
        # One thread, which reads stdin: a pool of more starts another one now and then.
        super().__init__(
            "attune", metadata.version("attune"), protocol_cls=LspProtocol, max_workers=1
        )
        protocol = cast(LspProtocol, self.protocol)
        protocol.params_types, protocol.requests = PARAMS_TYPES, REQUESTS
        self.documents = Documents()
        self.open_model = open_model
        self.scheduler = CompletionScheduler()
        self.settings = Settings()
        self.is_started = False
        self.shutdown_requested = False
        self._is_closing = False
        self.notifications = Notifications(self.protocol.notify)
        self.statistics = Statistics(None)
        self.ab_test = AbTest(0, b"", time.time)
        self.outcomes = OutcomeTracker(
            self._record_outcome,
            self._record_retention,
            time.monotonic,
            lambda seconds, call: asyncio.get_running_loop().call_later(seconds, call),
        )

    def _record_outcome(self, outcome: Outcome) -> None:
        if outcome.accepted_length:
            self.scheduler.accepted(outcome.source.number)
        elif outcome.kind == "rejected":
            self.scheduler.rejected(outcome.source.number)
        self.statistics.record(outcome)

    def _record_retention(self, retention: Retention) -> None:
        self.statistics.record_retention(retention)
        prompt = self.notifications.prompt
        if prompt is not None and not self._is_closing:
            self._evaluate(prompt)

    def _evaluate(self, prompt: str) -> None:
        """Ask for the A/B test's result, and notify the client if the prompt has no gain."""
        loop = asyncio.get_running_loop()

        def report(future: "Future[AbTestResult]") -> None:
            if (error := future.exception()) is not None:
                logger.warning("The A/B test was not evaluated (%s).", describe(error))
            elif future.result().verdict == "no_gain":
                with contextlib.suppress(RuntimeError):  # the loop is closed: the client has left
                    loop.call_soon_threadsafe(self.notifications.no_gain, prompt)

        self.statistics.ab_test(prompt).add_done_callback(report)

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Log the error; pygls would show a pop-up."""
        logger.error("A message could not be handled (%s).", describe(error))

    def start_io(self, stdin: BinaryIO | None = None, stdout: BinaryIO | None = None) -> None:
        """Serve the client at the other end of two streams until it leaves."""
        protocol = cast(LspProtocol, self.protocol)
        protocol.set_writer(StdoutWriter(stdout or sys.stdout.buffer))
        reader = StreamReader(stdin or sys.stdin.buffer, self.thread_pool)
        logger.info("Serving on standard input and output")
        self._run(receive_all(reader, protocol.receive))

    def start_tcp(self, host: str, port: int, token: str | None = None) -> None:
        """Serve the first client that connects, with the `token` if there is one, until it leaves.

        Raises `OSError` if the address cannot be listened to, `ValueError` if it needs a token.
        """
        protocol = cast(LspProtocol, self.protocol)
        self._run(listen(host, port, protocol.set_writer, protocol.receive, token))

    def _run(self, connection: Coroutine[Any, Any, None]) -> None:
        try:
            asyncio.run(connection)
        except ConnectionError:
            logger.error("The connection to the client is lost.")
        except (KeyboardInterrupt, SystemExit):
            pass
        finally:
            self.shutdown()

    def shutdown(self) -> None:
        """Stop the model, write what is pending and close the connection."""
        self._is_closing = True
        self.scheduler.close()
        self.outcomes.close()
        self.statistics.close()
        super().shutdown()  # type: ignore[no-untyped-call]


def create_server(open_model: OpenModel | None = None) -> AttuneServer:
    """A server that is not connected yet; `open_model` is called on the worker thread."""
    server = AttuneServer(open_model or _open_model)
    server.feature(types.INITIALIZE)(_initialize)
    server.feature(types.INITIALIZED)(_initialized)
    # Without options pygls would not announce the feature.
    options = types.InlineCompletionOptions()
    server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, options)(_inline_completion)
    server.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions())(_completion)
    server.feature(types.TEXT_DOCUMENT_DID_OPEN)(_did_open)
    server.feature(types.TEXT_DOCUMENT_DID_CHANGE)(_did_change)
    server.feature(types.TEXT_DOCUMENT_DID_CLOSE)(_did_close)
    server.feature(DID_FOCUS)(_did_focus)
    server.feature(DID_SHOW)(_did_show)
    server.feature(DID_PARTIALLY_ACCEPT)(_did_partially_accept)
    server.feature(DID_REJECT)(_did_reject)
    server.feature(STATISTICS)(_statistics)
    server.feature(LATEST_RESULT)(_latest_result)
    server.command(DID_ACCEPT)(_did_accept)
    server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)(_did_change_folders)
    server.feature(types.SHUTDOWN)(_shutdown)
    return server


def serve(tcp: tuple[str, int] | None = None, token: str | None = None) -> None:
    """Serve one client over stdio, or over TCP at (host, port), until it leaves.

    A client on TCP must send the `token`, if there is one.

    Raises `SystemExit` with 1 if the client left without asking for a shutdown, `OSError` if the
    address cannot be listened to, `ValueError` if other machines reach it and there is no token.
    """
    log_to_stderr()
    return_large_blocks()
    gc.disable()  # until the model is open: what is imported is no garbage, but looked at again
    server = create_server()
    try:
        if tcp is None:
            server.start_io(stdout=_claim_stdout())
        else:
            server.start_tcp(*tcp, token)
    finally:
        server.scheduler.close()
    if not server.shutdown_requested:
        sys.exit(1)


def _claim_stdout() -> BinaryIO:
    """A private copy of stdout for the protocol; all other output of the process goes to stderr."""
    sys.stdout.flush()
    descriptor = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return os.fdopen(descriptor, "wb")


def _open_model(
    settings: Settings, roots: Sequence[Path], report: StatusListener
) -> CompletionModel:
    try:
        # Imported here because it imports torch, and `initialize` must not wait for that.
        from lsp_server.model import open_model

        return open_model(settings, roots, report)
    finally:
        gc.freeze()  # no later collection, which a request waits for, looks at it again
        gc.enable()


def _initialize(ls: AttuneServer, params: types.InitializeParams) -> None:
    settings, ls.notifications.settings_problem = parse_settings(params.initialization_options)
    ls.settings = settings
    ls.documents.set_folders(workspace_folders(ls.workspace))
    if settings.statistics:
        ls.statistics = Statistics(user_folder() / STATISTICS_FILE)
        ls.ab_test = AbTest(settings.comparison_share, os.urandom(16), time.time)


def _initialized(ls: AttuneServer, params: types.InitializedParams) -> None:
    if ls.is_started:  # a client should send it once
        return
    ls.is_started = True
    if not ls.settings.enable:
        ls.notifications.status(OFF)
        return
    ls.notifications.status(LOADING)
    loop = asyncio.get_running_loop()

    def report(status: Status) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the client has left
            loop.call_soon_threadsafe(ls.notifications.status, status)

    folders = workspace_folders(ls.workspace)
    settings = ls.settings.relative_to(folders[0]) if folders else ls.settings
    roots = workspace_roots(folders)
    ls.scheduler.open(partial(ls.open_model, settings, roots, report), report)


async def _inline_completion(
    ls: AttuneServer, params: types.InlineCompletionParams
) -> Callable[[], types.InlineCompletionList]:
    explicit = params.context.trigger_kind is types.InlineCompletionTriggerKind.Invoked
    selected = params.context.selected_completion_info
    position = CompletionPosition(params.text_document.uri, params.position, explicit, selected)
    items = [
        types.InlineCompletionItem(
            suggestion.text, range=suggestion.range, command=suggestion.command
        )
        for suggestion in await _suggest(ls, position)
    ]
    is_current = _currency(ls, position.uri)
    return lambda: types.InlineCompletionList(items if is_current() else [])


async def _completion(
    ls: AttuneServer, params: types.CompletionParams
) -> Callable[[], types.CompletionList]:
    """The same suggestions for clients without inline completion: suggestion list entries."""
    invoked = types.CompletionTriggerKind.Invoked
    explicit = params.context is None or params.context.trigger_kind is invoked
    position = CompletionPosition(
        params.text_document.uri, params.position, explicit, from_word=True
    )
    entries = [_list_entry(suggestion) for suggestion in await _suggest(ls, position)]
    is_current = _currency(ls, position.uri)
    return lambda: types.CompletionList(is_incomplete=True, items=entries if is_current() else [])


def _currency(ls: AttuneServer, uri: str) -> Callable[[], bool]:
    """Whether the document is, when the answer is sent, as it is now."""
    document = ls.documents.get(uri)
    return lambda: document is not None and ls.documents.is_current(document)


def _list_entry(suggestion: Suggestion) -> types.CompletionItem:
    first_line = suggestion.text.strip().partition("\n")[0].rstrip()
    return types.CompletionItem(
        label=first_line,
        kind=types.CompletionItemKind.Text,
        detail="Attune",
        documentation=suggestion.text,
        sort_text="\U0010ffff",  # after the entries of other servers, which are certain
        filter_text=first_line,
        insert_text_format=types.InsertTextFormat.PlainText,
        insert_text_mode=types.InsertTextMode.AsIs,
        text_edit=types.TextEdit(suggestion.range, suggestion.text),
        command=suggestion.command,
    )


async def _suggest(ls: AttuneServer, position: CompletionPosition) -> tuple[Suggestion, ...]:
    """The suggestions at a position; none after an error, which is logged.

    Raises `JsonRpcInvalidParams`.
    """
    try:
        without_prompt = ls.ab_test.is_without_prompt(position.uri)
        suggestions = await suggest(
            position, ls.documents, ls.scheduler, ls.outcomes, without_prompt
        )
    except InvalidEditError as error:
        raise JsonRpcInvalidParams("The range of the selected entry is invalid.") from error
    except Exception as error:
        logger.error("A completion failed (%s).", describe(error))
        suggestions = Suggestions(reason="out_of_memory" if is_out_of_memory(error) else "error")
    if suggestions.reason not in ("cancelled", "stale"):
        ls.notifications.empty_reason(suggestions.reason)
    return suggestions.items


async def _statistics(ls: AttuneServer, params: Any) -> Summary:
    return await asyncio.wrap_future(ls.statistics.summary(ls.notifications.prompt))


def _latest_result(ls: AttuneServer, params: DocumentParams) -> LatestResult | None:
    document = ls.documents.get(params.text_document.uri)
    result = None if document is None else ls.scheduler.latest(document.uri)
    if result is None:
        return None
    return LatestResult(result.source, result.prefilled, result.reason, _describe_result(result))


def _describe_result(result: CompletionResult) -> str:
    if result.source == "cache":
        message = "The result was in the completion cache, so nothing was computed."
    elif result.source == "adopted":
        message = "An earlier request had started to compute the result."
    elif result.prefilled is None:
        message = "The model did not run."
    else:
        message = (
            f"The model computed {result.prefilled} tokens before the first new one; its KV cache "
            "held all others."
        )
    if result.reason is not None:
        message += f" There is no suggestion: {REASONS[result.reason]}."
    return message


def _did_accept(ls: AttuneServer, id_: str) -> None:
    ls.outcomes.accepted(id_)


def _did_show(ls: AttuneServer, params: ItemParams) -> None:
    ls.outcomes.shown(params.id)


def _did_partially_accept(ls: AttuneServer, params: PartialAcceptanceParams) -> None:
    text = params.item.insert_text
    length = code_points(text, params.accepted_length)
    ls.outcomes.partially_accepted(params.id, text, length)


def _did_reject(ls: AttuneServer, params: ItemParams) -> None:
    ls.outcomes.rejected(params.id)


def _did_open(ls: AttuneServer, params: DidOpenParams) -> None:
    item = params.text_document
    ls.outcomes.closed(item.uri)  # a client that opens a document again has lost its edits
    document = ls.documents.open(item.uri, item.language_id, item.text)
    _warm(ls, item.uri)
    if document.refusal is not None:
        logger.warning("A document gets no completions: %s.", REASONS[document.refusal])


def _did_change(ls: AttuneServer, params: DidChangeParams) -> None:
    for edit, state in change(ls.documents, params):
        ls.outcomes.edited(state.uri, edit.start, edit.end, edit.inserted, state.text)
    document = ls.documents.get(params.text_document.uri)
    if document is not None and document.refusal is not None:
        ls.outcomes.closed(document.uri)  # what follows cannot be told from the edits


def _did_focus(ls: AttuneServer, params: DocumentParams) -> None:
    _warm(ls, params.text_document.uri)


def _warm(ls: AttuneServer, uri: str) -> None:
    document = ls.documents.get(uri)
    if document is not None and document.refusal is None:
        ls.scheduler.warm(completion_request(ls.documents, document, offset=0))


def _did_close(ls: AttuneServer, params: DidCloseParams) -> None:
    ls.outcomes.closed(params.text_document.uri)
    ls.documents.close(params.text_document.uri)


def _did_change_folders(ls: AttuneServer, params: types.DidChangeWorkspaceFoldersParams) -> None:
    ls.documents.set_folders(workspace_folders(ls.workspace))


def _shutdown(ls: AttuneServer, params: None) -> None:
    ls.shutdown_requested = True
    ls.scheduler.close()
