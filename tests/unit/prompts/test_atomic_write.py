"""Whole files or none, for every writer."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

from prompts.atomic_write import create_file, replace_file, replacement


def test_replacement_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replacement(path) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_in_the_block_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")

    def interrupted() -> None:
        with replacement(path) as stream:
            stream.write(b"half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_create_file_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    create_file(path, b"first")
    with pytest.raises(FileExistsError):
        create_file(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_is_on_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut after the rename must not leave an empty file."""

    def refuse(descriptor: int) -> NoReturn:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    for write in (replace_file, create_file):
        with pytest.raises(OSError, match="Input/output error"):
            write(tmp_path / "file", b"data")
    assert list(tmp_path.iterdir()) == []
