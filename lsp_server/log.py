"""Logging to stderr that cannot show user code."""

import logging

from completion.errors import describe

# Loggers whose messages contain no user code; pygls.protocol quotes whole documents.
SAFE = ("lsp_server", "completion", "pygls.server")


class CodeFreeFormatter(logging.Formatter):
    """Shows the messages of `SAFE` loggers; of others only the source and the error's type.

    No traceback is shown, because an exception's message may quote the user's code.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line."""
        safe = record.name in SAFE or record.name.startswith(("lsp_server.", "completion."))
        message = record.getMessage() if safe else f"problem in {record.funcName}"
        error = record.exc_info[1] if record.exc_info else None
        reason = "" if error is None else f" ({describe(error)})"
        return f"{record.levelname} {record.name}: {message}{reason}"


def log_to_stderr() -> None:
    """Send every log of the process to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(CodeFreeFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in SAFE:
        logging.getLogger(name).setLevel(logging.INFO)
    # It warns of every cancellation that arrives too late.
    logging.getLogger("pygls.protocol").setLevel(logging.ERROR)
    # It logs an error for a watch that ends during a read.
    logging.getLogger("watchdog.observers.inotify").addFilter(_is_not_an_ended_watch)


def _is_not_an_ended_watch(record: logging.LogRecord) -> bool:
    return record.funcName != "queue_events"
