"""The language server: what it answers, and how it runs over stdio or TCP."""

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO, cast

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from code_context.positions import code_points
from completion.completion_model import CompletionModel
from completion.errors import describe
from completion.reasons import REASONS, Reason
from completion.scheduler import CompletionScheduler
from completion.status import Status, StatusListener
from lsp_server.ab_test import AbTest
from lsp_server.documents import LARGE, Edit, Utf16Protocol, folders, snapshot
from lsp_server.log import log_to_stderr
from lsp_server.outcomes import Kept, Outcomes, Settled
from lsp_server.protocol import (
    DID_ACCEPT,
    DID_CHANGE_STATUS,
    DID_FIND_PROMPT_WORTHLESS,
    DID_FOCUS,
    DID_PARTIALLY_ACCEPT,
    DID_REJECT,
    DID_SHOW,
    DID_STAY_SILENT,
    LOADING,
    OFF,
    STATISTICS,
    WHY,
    Silence,
    Why,
    WorthlessPrompt,
)
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
    """The state of one connection."""

    def __init__(self, open_model: OpenModel) -> None:
        super().__init__("attune", metadata.version("attune"), protocol_cls=Utf16Protocol)
        self.open_model = open_model
        self.scheduler = CompletionScheduler()
        self.settings = Settings()
        self.settings_problem: str | None = None
        self.silence: Reason | None = None
        self.prompt: str | None = None
        self.shutdown_requested = False
        self.statistics = Statistics(None)
        self.comparer = AbTest(0, b"", time.monotonic)
        self._found_worthless: set[str] = set()
        self.outcomes = Outcomes(
            self._settled,
            self._kept,
            time.monotonic,
            lambda seconds, call: asyncio.get_running_loop().call_later(seconds, call),
        )
        cast(Utf16Protocol, self.protocol).on_edit = self._edited

    def _edited(self, uri: str, edit: Edit, text: str) -> None:
        self.outcomes.edited(uri, edit.start, edit.end, edit.inserted, text)

    def _settled(self, settled: Settled) -> None:
        """A suggestion has come to its end: the scheduler learns from it, and it is counted."""
        if settled.taken:
            self.scheduler.accepted(settled.source.number)
        elif settled.how == "rejected":
            self.scheduler.rejected(settled.source.number)
        self.statistics.settled(settled)

    def _kept(self, kept: Kept) -> None:
        """An accepted text was looked at again: count it, and judge the prompt in use."""
        self.statistics.kept(kept)
        prompt = self.prompt
        if prompt is None or prompt in self._found_worthless:
            return
        if self.statistics.summary(prompt).comparison.verdict == "worth nothing":
            self._found_worthless.add(prompt)
            self.protocol.notify(DID_FIND_PROMPT_WORTHLESS, WorthlessPrompt(prompt))

    def tell(self, status: Status) -> None:
        """Send a status; a problem with the settings stays visible behind whatever follows."""
        self.prompt = status.prompt
        if self.settings_problem is not None and status.kind == "Normal" and not status.busy:
            message = f"{self.settings_problem} {status.message}"
            status = replace(status, kind="Warning", message=message)
        self.protocol.notify(DID_CHANGE_STATUS, status)

    def tell_silence(self, reason: Reason | None) -> None:
        """Send why nothing was offered, None if something was, when it is not as it was before."""
        if reason != self.silence:
            self.silence = reason
            words = None if reason is None else REASONS[reason]
            self.protocol.notify(DID_STAY_SILENT, Silence(reason, words))

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Log it; pygls would show a pop-up."""
        logger.error("A message could not be handled (%s).", describe(error))

    def shutdown(self) -> None:
        """Stop the model and the connection."""
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
    server.feature(WHY)(_why)
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
    """A private way to the client: whatever else the process prints goes to stderr."""
    sys.stdout.flush()
    claimed = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return os.fdopen(claimed, "wb")


def _open_model(settings: Settings, root: Path | None, report: StatusListener) -> CompletionModel:
    # Here, because it imports torch, for which `initialize` must not wait.
    from lsp_server.model import open_model

    return open_model(settings, root, report)


def _initialize(ls: AttuneServer, params: types.InitializeParams) -> None:
    ls.settings, ls.settings_problem = parse_settings(params.initialization_options)
    if ls.settings.statistics:
        ls.statistics = Statistics(user_folder() / STATISTICS_FILE)
    share = ls.settings.comparison_share if ls.settings.statistics else 0
    ls.comparer = AbTest(share, os.urandom(16), time.monotonic)


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
    root = roots[0] if roots else None
    ls.scheduler.open(partial(ls.open_model, ls.settings, root, tell), tell)


async def _inline_completion(
    ls: AttuneServer, params: types.InlineCompletionParams
) -> types.InlineCompletionList:
    explicit = params.context.trigger_kind is types.InlineCompletionTriggerKind.Invoked
    selected = params.context.selected_completion_info
    position = CompletionPosition(params.text_document.uri, params.position, explicit, selected)
    return types.InlineCompletionList(
        [
            types.InlineCompletionItem(one.text, range=one.range, command=one.command)
            for one in await _suggest(ls, position)
        ]
    )


async def _completion(ls: AttuneServer, params: types.CompletionParams) -> types.CompletionList:
    """The same for clients without inline completion: entries of the suggestion list."""
    invoked = types.CompletionTriggerKind.Invoked
    explicit = params.context is None or params.context.trigger_kind is invoked
    position = CompletionPosition(
        params.text_document.uri, params.position, explicit, from_word=True
    )
    return types.CompletionList(
        is_incomplete=True, items=[_list_entry(one) for one in await _suggest(ls, position)]
    )


def _list_entry(offer: Suggestion) -> types.CompletionItem:
    first_line = offer.text.strip().partition("\n")[0].rstrip()
    return types.CompletionItem(
        label=first_line,
        kind=types.CompletionItemKind.Text,
        detail="Attune",
        documentation=offer.text,
        sort_text="\U0010ffff",  # behind what other servers know for certain
        filter_text=first_line,
        insert_text_format=types.InsertTextFormat.PlainText,
        insert_text_mode=types.InsertTextMode.AsIs,
        text_edit=types.TextEdit(offer.range, offer.text),
        command=offer.command,
    )


async def _suggest(ls: AttuneServer, position: CompletionPosition) -> tuple[Suggestion, ...]:
    """What to offer; nothing after an error, which is logged. Tells a change of silence."""
    try:
        without_prompt = ls.comparer.is_without_prompt(position.uri)
        found = await suggest(position, ls.workspace, ls.scheduler, ls.outcomes, without_prompt)
    except Exception as error:
        logger.error("A completion failed (%s).", describe(error))
        found = Suggestions(reason="error")
    if found.reason not in ("cancelled", "stale"):
        ls.tell_silence(found.reason)
    return found.items


def _statistics(ls: AttuneServer, params: Any) -> Summary:
    return ls.statistics.summary(ls.prompt)


def _why(ls: AttuneServer, params: Any) -> Why | None:
    opened = snapshot(ls.workspace, str(params.textDocument.uri))
    answer = None if opened is None else ls.scheduler.latest(opened.path)
    if answer is None:
        return None
    if answer.source == "cache":
        message = "It was known already, so nothing was computed (the cache of completions)."
    elif answer.source == "adopted":
        message = "An earlier request had begun to compute it, and was taken over."
    elif answer.prefilled is None:
        message = "The model was not asked."
    else:
        message = (
            f"The model computed {answer.prefilled} tokens before the first new one; all others "
            "were in its cache of keys and values."
        )
    if answer.reason is not None:
        message += f" Nothing was offered: {REASONS[answer.reason]}."
    return Why(answer.source, answer.prefilled, answer.reason, message)


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
            "A document of %d characters is completed from the plain window: it is too large to be "
            "parsed.",
            len(params.text_document.text),
        )


def _did_focus(ls: AttuneServer, params: Any) -> None:
    _warm(ls, str(params.textDocument.uri))


def _warm(ls: AttuneServer, uri: str) -> None:
    opened = snapshot(ls.workspace, uri)
    if opened is not None and len(opened.text) <= LARGE:
        ls.scheduler.warm(opened.text, opened.path, uri)


def _did_close(ls: AttuneServer, params: types.DidCloseTextDocumentParams) -> None:
    ls.outcomes.closed(params.text_document.uri)


def _shutdown(ls: AttuneServer, params: None) -> None:
    ls.shutdown_requested = True
    ls.scheduler.close()
