"""Header fields are read as HTTP defines them, and a wrong header costs only its own message."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.framing import MAX_BODY_BYTES, FramingError, read_bodies


def bodies(stream: bytes, limit: int = 2**16) -> list[bytes | None]:
    """The bodies in a stream, None for each that could not be framed."""

    async def read() -> list[bytes | None]:
        reader = asyncio.StreamReader(limit)
        reader.feed_data(stream)
        reader.feed_eof()
        return [
            None if isinstance(body, FramingError) else body async for body in read_bodies(reader)
        ]

    return asyncio.run(read())


GOOD = b"Content-Length: 4\r\n\r\ngood"


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: 2\r\n",
        b"content-length: 2\r\n",
        b"CONTENT-LENGTH:2\r\n",
        b"Content-length :  2  \r\n",
        b"Content-Length: 002\r\n",
        b"Content-Length: 2\n",
        b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 2\r\n",
        b"Content-Length: 2\r\ncontent-type: x; charset=UTF8\r\n",
        b'Content-Length: 2\r\nContent-Type: x; charset="utf-8"\r\n',
        b"X-Unknown: content-length: 9\r\nContent-Length: 2\r\n",
        b"no field at all\r\nContent-Length: 2\r\n",
        b"\xff\x00\r\nContent-Length: 2\r\n",
    ],
)
def test_header(header):
    end = b"\n" if header.endswith(b"2\n") else b"\r\n"
    assert bodies(header + end + b"{}" + GOOD) == [b"{}", b"good"]


@pytest.mark.parametrize(
    "bad",
    [
        b"Content-Length: x\r\n\r\n{}",
        b"Content-Length: -2\r\n\r\n{}",
        b"Content-Length: 1.5\r\n\r\n{}",
        b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
        b"Content-Length:\r\n\r\n{}",
        b"Content-Length: %d\r\n\r\n{}" % (MAX_BODY_BYTES + 1),
        b"Content-Type: x\r\n\r\n{}",
        b"{}\r\n\r\n",
        b'{"a":\r\n\r\n\r\n 1}',
        b"Content-Length: 2\r\nContent-Type: x; charset=latin-1\r\n\r\n{}",
        b"x" * 200_000 + b"\r\n\r\n",
    ],
)
def test_wrong_header_costs_one_message(bad):
    assert bodies(bad + GOOD + GOOD) == [None, b"good", b"good"]


def test_empty_lines_between_messages_are_ignored():
    assert bodies(b"\r\n\n" + GOOD + b"\r\n\r\n" + GOOD) == [b"good", b"good"]


def test_empty_body():
    assert bodies(b"Content-Length: 0\r\n\r\n" + GOOD) == [b"", b"good"]


def test_end_of_stream_within_a_body():
    assert bodies(GOOD + b"Content-Length: 9\r\n\r\nend") == [b"good"]


def test_too_short_length_is_recovered_from():
    """The rest of the body is taken for a header; the message after it is read."""
    assert bodies(b"Content-Length: 3\r\n\r\n{  }" + GOOD) == [b"{  ", b"good"]


@given(st.binary(max_size=200))
def test_any_bytes(garbage):
    """Nothing raises, and a message behind a complete line is read if it was not part of a body."""
    result = bodies(garbage)
    assert all(body is None or isinstance(body, bytes) for body in result)


@given(st.lists(st.binary(max_size=60), max_size=6), st.data())
def test_well_framed_messages_are_all_read(messages, data):
    name = data.draw(st.sampled_from([b"Content-Length", b"content-length", b"Content-LENGTH"]))
    stream = b"".join(b"%s: %d\r\n\r\n%s" % (name, len(body), body) for body in messages)
    assert bodies(stream) == messages
