"""The log contains no user code."""

import logging
import subprocess
import sys

import pytest

from lsp_server.log import CodeFreeFormatter


def record(name: str, message: str, *args: object, exc_info=None) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "x.py", 1, message, args, exc_info, "_handle")


def test_own_message_is_shown():
    line = CodeFreeFormatter().format(record("lsp_server.server", "Failed (%s).", "ValueError"))
    assert line == "ERROR lsp_server.server: Failed (ValueError)."


@pytest.mark.parametrize("name", ["pygls.protocol.json_rpc", "asyncio", "lsp_server_x"])
def test_message_of_another_package_is_hidden(name):
    """Errors of pygls quote documents, and so may the messages of exceptions."""
    try:
        raise KeyError("secret")
    except KeyError:
        line = CodeFreeFormatter().format(record(name, "%r", "secret", exc_info=sys.exc_info()))
    assert "secret" not in line
    assert line.startswith(f"ERROR {name}: problem in _handle (KeyError in test_log.py:")


INACTIVE = """\
import logging, queue
from watchdog.observers.api import ObservedWatch
from watchdog.observers.inotify import InotifyEmitter
from lsp_server.log import log_to_stderr
log_to_stderr()
InotifyEmitter(queue.Queue(), ObservedWatch(".", recursive=False)).queue_events(0.1)
logging.getLogger("watchdog.observers.inotify").error("another")
"""


def test_watch_that_ends_during_a_read_is_not_logged():
    """watchdog logs it as an error; its other errors are shown."""
    done = subprocess.run([sys.executable, "-c", INACTIVE], capture_output=True, text=True)
    assert done.stderr.splitlines() == [
        "ERROR watchdog.observers.inotify: problem in <module>",
    ]
