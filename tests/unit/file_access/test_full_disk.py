"""A file system that takes no more bytes: every writer keeps what was there and says so.

A limit of the process on the size of a file (RLIMIT_FSIZE) stands in for a full disk: the kernel
ends a write in the middle, as it does there, whatever code made it.
"""

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from code_context.index_store import open_index
from lsp_server.outcomes import Outcome, Source
from lsp_server.statistics import Statistics
from prompts.errors import PromptError, PromptWriteError, RegistryError
from prompts.file import DEFAULT_PROMPT, PromptFile, encode_prompt, read_prompt, write_prompt
from prompts.registry import open_registry
from tests.unit.completion.prompt_files import prompt_of
from tuning import checkpoint

LIMIT = 3000
"""Bytes of the longest file: more than a header, less than any of the files here."""


@contextmanager
def full_disk() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def prompt(base) -> PromptFile:
    prompt = prompt_of(base, "class Reader:\n" * 20)
    assert len(encode_prompt(prompt)) > LIMIT
    return prompt


def test_the_limit_ends_a_write_in_the_middle(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(OSError, match="too large"):
        (tmp_path / "file").write_bytes(bytes(LIMIT + 1))
    assert (tmp_path / "file").stat().st_size == LIMIT


def test_a_prompt(prompt: PromptFile, tmp_path: Path) -> None:
    path = tmp_path / DEFAULT_PROMPT
    path.parent.mkdir()
    write_prompt(path, prompt)
    before = contents(tmp_path)
    other = PromptFile(prompt.manifest, prompt.embeddings + np.float32(1))
    with full_disk(), pytest.raises(PromptWriteError, match="could not be written"):
        write_prompt(path, other)
    assert contents(tmp_path) == before
    write_prompt(path, other)
    assert (read_prompt(path).embeddings == other.embeddings).all()


def test_a_push(prompt: PromptFile, tmp_path: Path) -> None:
    registry = open_registry(str(tmp_path / "registry"), tmp_path)
    registry.push("team", encode_prompt(prompt), None)
    before = contents(tmp_path)
    other = encode_prompt(PromptFile(prompt.manifest, prompt.embeddings + np.float32(1)))
    with full_disk(), pytest.raises(RegistryError, match="could not be written"):
        registry.push("team", other, None)
    assert contents(tmp_path) == before
    assert registry.push("team", other, None) == 2


def test_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "p.unfinished.safetensors"
    checkpoint.save(path, "run", {"step": 1}, {"x": torch.zeros(1000)})
    with full_disk(), pytest.raises(PromptError, match="check the free space"):
        checkpoint.save(path, "run", {"step": 2}, {"x": torch.ones(1000)})
    state, _ = checkpoint.load(path, "run") or ({}, {})
    assert state == {"step": 1}


def test_an_index_is_built_in_memory_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "root"
    root.mkdir()
    for number in range(5):
        (root / f"{number}.py").write_text(f"def f_{number}():\n    pass\n")
    with full_disk():
        opened = open_index(root)
        assert opened.index.file_count() == 5
    assert any("cannot be kept on disk" in notice for notice in opened.notices)
    opened.index.close()
    opened = open_index(root)
    assert opened.index.file_count() == 5
    assert not any("cannot be kept on disk" in notice for notice in opened.notices)
    opened.index.close()


def test_statistics_are_left_out(tmp_path: Path) -> None:
    """What cannot be kept delays nothing and ends nothing."""
    file = tmp_path / "statistics.sqlite3"
    with full_disk():
        statistics = Statistics(file)
        statistics.record(Outcome("id", "accepted", 9, 9, Source(".py", 1, "p@1", False)))
        assert statistics.summary("p@1").result(timeout=60) is not None
        statistics.close()
    with sqlite3.connect(file) as opened:  # whatever is there is no torn database
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    opened.close()
