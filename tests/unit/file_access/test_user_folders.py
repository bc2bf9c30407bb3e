"""A user without a home folder, as in many containers, has no cache and no store."""

import os
import pwd
from pathlib import Path
from typing import NoReturn

import pytest

from code_context.index_store import open_index
from code_model.decoder.library import backend, compile_library
from file_access.user_folders import NO_HOME, cache_folder, data_folder
from prompts.errors import PromptWriteError
from prompts.router import NO_PROMPT, PromptRouter
from prompts.store import Store, used_digests
from prompts.trust import Trust, consent


def unknown(_: object) -> NoReturn:
    raise KeyError("no such user")


@pytest.fixture(params=["no home", "a file in its place"])
def no_folders(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "ATTUNE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    if request.param == "no home":
        monkeypatch.setattr(pwd, "getpwuid", unknown)
        assert cache_folder() == data_folder() == NO_HOME
    else:
        (tmp_path / "file").write_text("x")
        for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
            monkeypatch.setenv(name, str(tmp_path / "file" / "below"))


@pytest.mark.usefixtures("no_folders")
def test_the_index_is_built_in_memory_and_that_is_reported(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.py").write_text("def f():\n    return 1\n")
    opened = open_index(root)
    assert opened.index.file_count() == 1
    assert any("cannot be kept on disk" in notice for notice in opened.notices)


@pytest.mark.usefixtures("no_folders")
def test_prompts_are_read_and_nothing_is_stored(tmp_path: Path) -> None:
    result = PromptRouter(tmp_path).choose("a.py")
    assert (result.prompt, result.reason, result.problems) == (None, NO_PROMPT, ())
    assert list(Store().digests()) == []
    assert used_digests() == set()
    with pytest.raises(PromptWriteError, match="could not be written"):
        consent("name", "0" * 64, Trust(None, None, trusted=False))


@pytest.mark.usefixtures("no_folders")
def test_the_compiled_step_is_left_out_and_the_diagnosis_says_why() -> None:
    assert compile_library() is None
    assert "cache folder" in (backend().problem or "")


def test_nothing_can_be_made_in_place_of_a_home_folder() -> None:
    with pytest.raises(OSError, match="no-home-folder-is-known"):
        os.makedirs(NO_HOME)
