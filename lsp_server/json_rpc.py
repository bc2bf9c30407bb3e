"""JSON-RPC and LSP's lifecycle: every request gets an answer, and no message ends the connection.

pygls calls the handlers. It drops a message that it cannot structure and a request after
`shutdown`, so messages are checked here first, and refused with the codes of the specification.
"""

import contextvars
import json
import logging
from collections.abc import Generator, Mapping
from concurrent.futures import Future
from enum import Enum
from typing import Any, TypeGuard

from cattrs.errors import BaseValidationError
from lsprotocol import types
from pydantic import TypeAdapter, ValidationError
from pygls.protocol import LanguageServerProtocol, lsp_method

from completion.errors import describe
from lsp_server.framing import FramingError

logger = logging.getLogger(__name__)

Code = types.ErrorCodes

REPLACED = (
    types.TEXT_DOCUMENT_DID_OPEN,
    types.TEXT_DOCUMENT_DID_CHANGE,
    types.TEXT_DOCUMENT_DID_CLOSE,
    types.NOTEBOOK_DOCUMENT_DID_OPEN,
    types.NOTEBOOK_DOCUMENT_DID_CHANGE,
    types.NOTEBOOK_DOCUMENT_DID_CLOSE,
)
"""Messages that pygls would apply to documents of its own."""


class LspProtocol(LanguageServerProtocol):
    """Checks messages before pygls handles them.

    `params_types` holds adapters for the params of messages that LSP does not define, or that are
    read in another way; `requests` names the requests among them.
    """

    params_types: Mapping[str, TypeAdapter[Any]] = {}
    requests: frozenset[str] = frozenset()

    def __init__(self, server: Any, converter: Any) -> None:
        super().__init__(server, converter)
        for method in REPLACED:
            self.fm.builtin_features.pop(method, None)
        for primitive in (str, int, bool):  # cattrs would convert 1.5 to 1 and null to "None"
            converter.register_structure_hook(primitive, _without_conversion)
        self._is_initialized = False

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(
        self, params: types.InitializeParams
    ) -> Generator[Any, Any, types.InitializeResult]:
        """Announce UTF-16, which every client must support, and one of the two completion kinds."""
        if params.capabilities.general is not None:
            params.capabilities.general.position_encodings = None
        result = yield from super().lsp_initialize(params)
        document = params.capabilities.text_document
        if document is not None and document.inline_completion is not None:
            # The suggestion list is for clients without inline completion.
            result.capabilities.completion_provider = None
        self._is_initialized = True
        return result

    def _send_handler_result(self, future: Future[Any], *, msg_id: int | str) -> None:
        """Send a handler's result. If it is a function, what that returns now is sent.

        A message may be handled between the end of a handler and this call.
        """
        if not future.cancelled() and future.exception() is None and callable(future.result()):
            made: Future[Any] = Future()
            made.set_result(future.result()())
            future = made
        super()._send_handler_result(future, msg_id=msg_id)

    def receive(self, body: bytes | FramingError) -> None:
        """Handle the body of a message, or answer what could not be framed."""
        if isinstance(body, FramingError):
            self._refuse(None, Code.ParseError, str(body))
            return
        try:
            message = json.loads(body.decode(), parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            self._refuse(None, Code.ParseError, "The message is not JSON in UTF-8.")
            return
        if not isinstance(message, dict):
            self._refuse(None, Code.InvalidRequest, "A message must be an object.")
            return
        try:
            self._receive_object(message)
        except ConnectionError:
            raise
        except Exception as error:  # an error of ours must not end the connection either
            logger.error("A message could not be handled (%s).", describe(error))

    def _receive_object(self, message: dict[str, Any]) -> None:
        id_ = message.get("id")
        if "id" in message and not _is_id(id_):
            self._refuse(None, Code.InvalidRequest, "An id must be an integer or a string.")
        elif message.get("jsonrpc") != self.VERSION:
            self._refuse(id_, Code.InvalidRequest, 'The member "jsonrpc" must be "2.0".')
        elif "method" not in message and ("result" in message or "error" in message):
            logger.debug("A response was ignored: this server sends no requests.")
        elif not isinstance(message.get("method"), str):
            self._refuse(id_, Code.InvalidRequest, 'The member "method" must be a string.')
        elif not isinstance(message.get("params"), dict | list | None):
            self._refuse(id_, Code.InvalidRequest, "Params must be an object or an array.")
        elif "id" in message:
            self._receive_request(message["id"], message["method"], message.get("params"))
        else:
            self._receive_notification(message["method"], message.get("params"))

    def _receive_request(self, id_: int | str, method: str, params: object) -> None:
        if self._shutdown:
            self._refuse(id_, Code.InvalidRequest, "The server has been shut down.")
        elif method == types.INITIALIZE and self._is_initialized:
            self._refuse(id_, Code.InvalidRequest, "The server is already initialized.")
        elif method != types.INITIALIZE and not self._is_initialized:
            self._refuse(id_, Code.ServerNotInitialized, "The server is not initialized yet.")
        elif not self._is_request(method) or not self._has_handler(method):
            self._refuse(id_, Code.MethodNotFound, "The server has no such request.")
        else:
            try:
                structured = self._structure(method, params)
            except ValueError as error:
                self._refuse(id_, Code.InvalidParams, str(error))
            else:
                run_in = contextvars.copy_context().run  # pygls keeps the id in the context
                run_in(self._handle_request, id_, method, structured)

    def _receive_notification(self, method: str, params: object) -> None:
        is_ignored = self._shutdown or not self._is_initialized
        if is_ignored and method != types.EXIT:
            logger.debug("A notification outside of the session was ignored.")
            return
        if self._is_request(method) or not (
            self._has_handler(method) or method == types.CANCEL_REQUEST
        ):
            logger.debug("An unknown notification was ignored.")
            return
        try:
            structured = self._structure(method, params)
        except ValueError as error:
            logger.error("A notification was ignored. %s", error)
        else:
            self._handle_notification(method, structured)

    def _is_request(self, method: str) -> bool:
        _, result, *_ = types.METHOD_TO_TYPES.get(method, (None, None))
        return result is not None or method in self.requests

    def _has_handler(self, method: str) -> bool:
        return method in self.fm.builtin_features or method in self.fm.features

    def _structure(self, method: str, params: object) -> object:
        """The params as objects; missing ones are as good as empty ones.

        Raises `ValueError`, whose message contains no input.
        """
        params = {} if params is None else params
        adapter = self.params_types.get(method)
        try:
            if adapter is not None:
                return adapter.validate_python(params)
            params_type: Any = types.METHOD_TO_TYPES[method][2]
            return None if params_type is None else self._converter.structure(params, params_type)
        except ValidationError as error:
            places = sorted({".".join(map(str, detail["loc"])) for detail in error.errors()})
            raise ValueError(f"The params are wrong: {', '.join(places)[:200]}.") from error
        except (BaseValidationError, TypeError, KeyError, ValueError, RecursionError) as error:
            raise ValueError(f"The params are wrong ({describe(error)}).") from error

    def _refuse(self, id_: int | str | None, code: types.ErrorCodes, message: str) -> None:
        """Answer with an error. Without an id it has the id null, as JSON-RPC requires."""
        error = {"code": code.value, "message": message}
        self._send_data({"jsonrpc": self.VERSION, "id": id_, "error": error})


def _is_id(value: object) -> TypeGuard[int | str]:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _without_conversion(value: object, target: type) -> object:
    if issubclass(target, Enum):
        return target(value)
    if type(value) is not target:
        raise TypeError(f"not of type {target.__name__}")
    return value
