"""What may stand in the log."""

import logging
import sys

import pytest

from lsp_server.log import CodeFreeFormatter


def record(name: str, message: str, *args: object, exc_info=None) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "x.py", 1, message, args, exc_info, "_handle")


def test_own_message_is_shown():
    line = CodeFreeFormatter().format(record("lsp_server.server", "Failed (%s).", "ValueError"))
    assert line == "ERROR lsp_server.server: Failed (ValueError)."


@pytest.mark.parametrize("name", ["pygls.protocol.json_rpc", "asyncio", "lsp_server_x"])
def test_foreign_message_is_not(name):
    """pygls quotes documents in its errors, and so may exceptions."""
    try:
        raise KeyError("secret")
    except KeyError:
        line = CodeFreeFormatter().format(record(name, "%r", "secret", exc_info=sys.exc_info()))
    assert "secret" not in line
    assert line.startswith(f"ERROR {name}: problem in _handle (KeyError in test_log.py:")
