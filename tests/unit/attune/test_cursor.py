"""FILE:LINE:COL: which files are read, and how columns are counted in them."""

import os
from pathlib import Path

import pytest

from attune.cursor import CursorPositionError, read_cursor_position


@pytest.mark.timeout(20)
def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(CursorPositionError, match="a folder, a pipe or a device"):
        read_cursor_position(f"{tmp_path}/pipe.py:1:1")


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.py").open("wb") as stream:
        stream.truncate(10 << 30)
    with pytest.raises(CursorPositionError, match="larger than"):
        read_cursor_position(f"{tmp_path}/a.py:1:1")


def test_a_byte_order_mark_takes_no_column(tmp_path: Path) -> None:
    (tmp_path / "b.py").write_bytes(b"\xef\xbb\xbffrom os import ")
    position = read_cursor_position(f"{tmp_path}/b.py:1:16")
    assert (position.text, position.offset) == ("from os import ", 15)


def test_utf_16_is_refused_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes("x = 1\n".encode("utf-16"))
    with pytest.raises(CursorPositionError, match=r"is UTF-16; save it as UTF-8\."):
        read_cursor_position(f"{tmp_path}/a.py:1:1")


def test_a_coding_cookie_decides_where_the_bytes_are_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes("# coding: latin-1\nn = 'é'\n".encode("latin-1"))
    position = read_cursor_position(f"{tmp_path}/a.py:2:7")
    assert position.text[position.offset - 1] == "é"
    assert position.notice is None


def test_other_bytes_are_replaced_and_reported(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"x = '\xe9'\n")
    position = read_cursor_position(f"{tmp_path}/a.py:1:1")
    assert position.text == "x = '\N{REPLACEMENT CHARACTER}'\n"
    assert "is not UTF-8" in str(position.notice)
