"""The server process from outside: the bytes of its streams, and its exit code."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SERVE = [sys.executable, "-I", "-m", "attune", "serve"]
URI = "file:///work/space/module.py"
INITIALIZE = {"id": 0, "method": "initialize", "params": {"processId": None, "capabilities": {}}}
INITIALIZED = {"method": "initialized", "params": {}}
SHUTDOWN = {"id": 1, "method": "shutdown"}
EXIT = {"method": "exit"}


def frames(*messages: dict[str, Any]) -> bytes:
    """The bytes of messages."""
    bodies = [json.dumps({"jsonrpc": "2.0"} | message).encode() for message in messages]
    return b"".join(b"Content-Length: %d\r\n\r\n%s" % (len(body), body) for body in bodies)


def parsed(stream: bytes) -> list[dict[str, Any]]:
    """The messages of a stream; fails on a byte that belongs to none."""
    messages = []
    while stream:
        header, _, rest = stream.partition(b"\r\n\r\n")
        match = re.fullmatch(rb"Content-Length: (\d+)\r\nContent-Type: [^\r\n]+", header)
        assert match is not None, header
        length = int(match[1])
        messages.append(json.loads(rest[:length]))
        stream = rest[length:]
    return messages


@pytest.fixture
def run(neutral: Path, environment: dict[str, str]):
    """Sends a server all its input at once, then the end of the stream."""

    def run(*messages: dict[str, Any], command: list[str] = SERVE) -> Any:
        return subprocess.run(
            command, input=frames(*messages), cwd=neutral, env=environment, capture_output=True
        )

    return run


def test_shutdown_while_loading_ends_with_0(run):
    ran = run(INITIALIZE, INITIALIZED, SHUTDOWN, EXIT)
    assert ran.returncode == 0
    assert [message.get("id") for message in parsed(ran.stdout)][-1] == 1
    assert b"Traceback" not in ran.stderr


@pytest.mark.parametrize("last", [[EXIT], []], ids=["exit", "stream ends"])
def test_end_without_shutdown_ends_with_1(run, last):
    ran = run(INITIALIZE, INITIALIZED, *last)
    assert ran.returncode == 1
    assert parsed(ran.stdout)[0]["result"]["serverInfo"]["name"] == "attune"
    assert b"Traceback" not in ran.stderr


NOISY = """
import os, subprocess, sys
from lsp_server import server
opened = server._open_model
def noisy(*arguments):
    print("stray from print")
    os.write(1, b"stray from a library\\n")
    subprocess.run([sys.executable, "-c", "print('stray from a child')"])
    return opened(*arguments)
server._open_model = noisy
server.serve()
"""


def test_stdout_carries_only_the_protocol(run):
    """All other output of the process and its children goes to stderr."""
    ran = run(INITIALIZE, INITIALIZED, SHUTDOWN, EXIT, command=[sys.executable, "-c", NOISY])
    assert ran.returncode == 0
    assert parsed(ran.stdout)
    for source in (b"print", b"a library", b"a child"):
        assert b"stray from " + source in ran.stderr


def test_bad_messages_do_not_end_the_server_and_leave_no_code_in_the_log(run):
    """Unknown methods, documents that are not open, wrong parameters."""
    secret = "password_in_the_code"
    document = {"uri": URI, "version": 2}
    bad = [
        {"method": "attune/unknown", "params": {"text": secret}},
        {"id": 7, "method": "attune/unknown", "params": {"text": secret}},
        {
            "method": "textDocument/didChange",
            "params": {
                "textDocument": document,
                "contentChanges": [
                    {
                        "range": {
                            "start": {"line": 0, "character": 0},
                            "end": {"line": 0, "character": secret},
                        },
                        "text": secret,
                    }
                ],
            },
        },
        {
            "method": "textDocument/didChange",
            "params": {"textDocument": document, "contentChanges": [{"text": secret}]},
        },
        {"id": 8, "method": "textDocument/inlineCompletion", "params": {"textDocument": secret}},
        {"method": "textDocument/didOpen", "params": {"textDocument": {"text": secret}}},
        {"method": "$/cancelRequest", "params": {"id": 99}},
    ]
    ran = run(INITIALIZE, INITIALIZED, *bad, SHUTDOWN, EXIT)
    assert ran.returncode == 0
    answers = parsed(ran.stdout)
    assert answers[-1]["id"] == 1
    assert not [message for message in answers if message.get("method", "").startswith("window/")]
    assert b"ERROR" in ran.stderr
    assert secret.encode() not in ran.stderr


def test_headers_in_any_form_and_malformed_ones(neutral, environment):
    """Each wrong message costs itself only; names of header fields are read in any case."""
    initialize, shutdown = (
        json.dumps({"jsonrpc": "2.0"} | message).encode() for message in (INITIALIZE, SHUTDOWN)
    )
    stream = (
        b"content-length: %d\r\n\r\n%s" % (len(initialize), initialize)
        + b"Content-Length: many\r\n\r\n{}"
        + b"CONTENT-LENGTH:3\r\n\r\n{{{"
        + b"Content-Type: x; charset=latin-1\r\nContent-Length: 2\r\n\r\n{}"
        + b"nonsense\r\n" * 3
        + b"Content-Length: %d\r\n\r\n%s" % (len(shutdown), shutdown)
        + frames({"id": 2, "method": "shutdown"}, {"method": "textDocument/didOpen"}, EXIT)
    )
    ran = subprocess.run(SERVE, input=stream, cwd=neutral, env=environment, capture_output=True)
    answers = [(answer["id"], answer.get("error", {}).get("code")) for answer in parsed(ran.stdout)]
    assert answers == [(0, None), *[(None, -32700)] * 3, (1, None), (2, -32600)]
    assert ran.returncode == 0
    assert b"Traceback" not in ran.stderr


def test_second_tcp_client_is_turned_away(neutral: Path, environment: dict[str, str]):
    """It gets nothing of what belongs to the first one."""
    command = [*SERVE, "--tcp", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=neutral, env=environment, stderr=subprocess.PIPE) as server:
        for line in server.stderr:
            if match := re.search(rb"Serving on \('127.0.0.1', (\d+)\)", line):
                break
        address = "127.0.0.1", int(match[1])
        with socket.create_connection(address) as first:
            first.sendall(frames(INITIALIZE))
            received = first.recv(1)
            with socket.create_connection(address) as second:
                assert second.recv(4096) == b""
            first.sendall(frames(SHUTDOWN, EXIT))
            received += b"".join(iter(lambda: first.recv(4096), b""))
        assert server.wait() == 0
    assert [message["id"] for message in parsed(received)] == [0, 1]


def test_tcp(neutral: Path, environment: dict[str, str]):
    """The address is logged on stderr; the system chooses the port."""
    command = [*SERVE, "--tcp", "127.0.0.1:0"]
    with subprocess.Popen(
        command, cwd=neutral, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        for line in server.stderr:
            if match := re.search(rb"Serving on \('127.0.0.1', (\d+)\)", line):
                break
        with socket.create_connection(("127.0.0.1", int(match[1]))) as connection:
            connection.sendall(frames(INITIALIZE, INITIALIZED, SHUTDOWN, EXIT))
            received = b"".join(iter(lambda: connection.recv(4096), b""))
        assert server.wait() == 0
    assert [message.get("id") for message in parsed(received)][-1] == 1
