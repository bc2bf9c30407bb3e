"""The language server: its message handlers, and how it runs over stdio or TCP."""

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO, cast

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from code_context.positions import code_points
from completion.completion_model import CompletionModel
from completion.errors import describe
from completion.reasons import REASONS
from completion.request import CompletionResult
from completion.scheduler import CompletionScheduler
from completion.status import Status, StatusListener
from lsp_server.ab_test import AbTest
from lsp_server.documents import LARGE, Edit, Utf16Protocol, folders, snapshot
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
    STATISTICS,
    LatestResult,
)
from lsp_server.sequential_test import AbTestResult
from lsp_server.settings import Settings, parse_settings
from lsp_server.statistics import Statistics, Summary
from lsp_server.suggestions import CompletionPosition, Suggestion, Suggestions, suggest
from prompts.user import user_folder

logger = logging.getLogger(__name__)

OpenModel = Callable[[Settings, Path | None, StatusListener], CompletionModel]
"""Loads the model for the settings and the workspace folder, on the worker thread.

Raises `completion.errors.ModelUnavailableError` if it cannot.
"""

STATISTICS_FILE = "statistics.sqlite3"


class AttuneServer(LanguageServer):
    """The state of one connection. Everything here runs on the event loop."""

    def __init__(self, open_model: OpenModel) -> None:
        super().__init__("attune", metadata.version("attune"), protocol_cls=Utf16Protocol)
        self.open_model = open_model
        self.scheduler = CompletionScheduler()
        self.settings = Settings()
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
        cast(Utf16Protocol, self.protocol).on_edit = self._on_edit

    def _on_edit(self, uri: str, edit: Edit, text: str) -> None:
        self.outcomes.edited(uri, edit.start, edit.end, edit.inserted, text)

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
    server.feature(types.TEXT_DOCUMENT_DID_CLOSE)(_did_close)
    server.feature(DID_FOCUS)(_did_focus)
    server.feature(DID_SHOW)(_did_show)
    server.feature(DID_PARTIALLY_ACCEPT)(_did_partially_accept)
    server.feature(DID_REJECT)(_did_reject)
    server.feature(STATISTICS)(_statistics)
    server.feature(LATEST_RESULT)(_latest_result)
    server.command(DID_ACCEPT)(_did_accept)
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


def _open_model(settings: Settings, root: Path | None, report: StatusListener) -> CompletionModel:
    # Imported here because it imports torch, and `initialize` must not wait for that.
    from lsp_server.model import open_model

    return open_model(settings, root, report)


def _initialize(ls: AttuneServer, params: types.InitializeParams) -> None:
    settings, ls.notifications.settings_problem = parse_settings(params.initialization_options)
    ls.settings = settings
    if settings.statistics:
        ls.statistics = Statistics(user_folder() / STATISTICS_FILE)
        ls.ab_test = AbTest(settings.comparison_share, os.urandom(16), time.time)


def _initialized(ls: AttuneServer, params: types.InitializedParams) -> None:
    if not ls.settings.enable:
        ls.notifications.status(OFF)
        return
    ls.notifications.status(LOADING)
    loop = asyncio.get_running_loop()

    def report(status: Status) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the client has left
            loop.call_soon_threadsafe(ls.notifications.status, status)

    roots = folders(ls.workspace)
    root = roots[0] if roots else None
    ls.scheduler.open(partial(ls.open_model, ls.settings, root, report), report)


async def _inline_completion(
    ls: AttuneServer, params: types.InlineCompletionParams
) -> types.InlineCompletionList:
    explicit = params.context.trigger_kind is types.InlineCompletionTriggerKind.Invoked
    selected = params.context.selected_completion_info
    position = CompletionPosition(params.text_document.uri, params.position, explicit, selected)
    return types.InlineCompletionList(
        [
            types.InlineCompletionItem(
                suggestion.text, range=suggestion.range, command=suggestion.command
            )
            for suggestion in await _suggest(ls, position)
        ]
    )


async def _completion(ls: AttuneServer, params: types.CompletionParams) -> types.CompletionList:
    """The same suggestions for clients without inline completion: suggestion list entries."""
    invoked = types.CompletionTriggerKind.Invoked
    explicit = params.context is None or params.context.trigger_kind is invoked
    position = CompletionPosition(
        params.text_document.uri, params.position, explicit, from_word=True
    )
    entries = [_list_entry(suggestion) for suggestion in await _suggest(ls, position)]
    return types.CompletionList(is_incomplete=True, items=entries)


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
    """The suggestions at a position; none after an error, which is logged."""
    try:
        without_prompt = ls.ab_test.is_without_prompt(position.uri)
        suggestions = await suggest(
            position, ls.workspace, ls.scheduler, ls.outcomes, without_prompt
        )
    except Exception as error:
        logger.error("A completion failed (%s).", describe(error))
        suggestions = Suggestions(reason="error")
    if suggestions.reason not in ("cancelled", "stale"):
        ls.notifications.empty_reason(suggestions.reason)
    return suggestions.items


async def _statistics(ls: AttuneServer, params: Any) -> Summary:
    return await asyncio.wrap_future(ls.statistics.summary(ls.notifications.prompt))


def _latest_result(ls: AttuneServer, params: Any) -> LatestResult | None:
    document = snapshot(ls.workspace, str(params.textDocument.uri))
    result = None if document is None else ls.scheduler.latest(document.path)
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


def _did_show(ls: AttuneServer, params: Any) -> None:
    ls.outcomes.shown(_item_id(params))


def _did_partially_accept(ls: AttuneServer, params: Any) -> None:
    text = str(params.item.insertText)
    length = code_points(text, int(params.acceptedLength))
    ls.outcomes.partially_accepted(_item_id(params), text, length)


def _did_reject(ls: AttuneServer, params: Any) -> None:
    ls.outcomes.rejected(_item_id(params))


def _item_id(params: Any) -> str:
    """The id that the item's command carries."""
    return str(params.item.command.arguments[0])


def _did_open(ls: AttuneServer, params: types.DidOpenTextDocumentParams) -> None:
    _warm(ls, params.text_document.uri)
    if len(params.text_document.text) > LARGE:
        logger.warning(
            "A document of %d characters is too large to be parsed; only the plain window around "
            "the cursor is used.",
            len(params.text_document.text),
        )


def _did_focus(ls: AttuneServer, params: Any) -> None:
    _warm(ls, str(params.textDocument.uri))


def _warm(ls: AttuneServer, uri: str) -> None:
    document = snapshot(ls.workspace, uri)
    if document is not None and len(document.text) <= LARGE:
        ls.scheduler.warm(document.text, document.path, uri)


def _did_close(ls: AttuneServer, params: types.DidCloseTextDocumentParams) -> None:
    ls.outcomes.closed(params.text_document.uri)


def _shutdown(ls: AttuneServer, params: None) -> None:
    ls.shutdown_requested = True
    ls.scheduler.close()
