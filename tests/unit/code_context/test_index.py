"""The repository index: content, refreshing, damage, and chunks."""

import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_context.chunking import MAX_LINES, split_into_chunks
from code_context.index import RepositoryIndex, stem_of
from code_context.index_refresh import RefreshResult, refresh, refresh_file
from code_context.index_store import DAMAGED, index_file, open_index, open_or_rebuild
from code_context.source_files import list_files

CORE = '''\
"""Storage."""
import os
from .names import clean as tidy, LIMIT
from .everything import *


class Store(dict):
    """Keeps rows.

    More about it.
    """

    size: int = 3

    @property
    def rows(self) -> list[str]:
        """All rows."""
        def inner():
            pass
        return []


def load(path, *, strict=False):
    return Store()
'''


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "package").mkdir(parents=True)
    (root / "package" / "core.py").write_text(CORE)
    (root / "package" / "names.py").write_text("LIMIT = 3\n\n\ndef clean(name):\n    return name\n")
    (root / "notes.txt").write_text("def string_or_comment_at(): pass\n")
    return root


def names(index: RepositoryIndex, name: str) -> list[tuple[str, str]]:
    return [(one.path, one.definition.container) for one in index.definitions(name)]


def test_definitions_are_outlines_without_bodies(root: Path) -> None:
    index = open_index(root).index
    (store,) = index.definitions("Store")
    assert store.path == "package/core.py"
    assert store.definition.outline == (
        'class Store(dict):\n    """Keeps rows."""\n    size: int = 3\n'
        "    def rows(self) -> list[str]:\n"
    )
    (rows,) = index.definitions("rows")
    assert (rows.definition.container, rows.definition.outline) == (
        "Store",
        'class Store:\n    def rows(self) -> list[str]:\n        """All rows."""\n',

    )  # fmt: skip
    assert index.definitions("inner") == [], "other files cannot use it"
    assert [
        one.definition.outline for one in index.definitions_in("package/names.py", "LIMIT")
    ] == ["LIMIT = 3\n"]


def test_imports_are_kept_as_written(root: Path) -> None:
    imports = open_index(root).index.imports_of("package/core.py")
    assert [(one.module, one.name, one.alias) for one in imports] == [
        ("os", "", ""), (".names", "clean", "tidy"), (".names", "LIMIT", ""),
        (".everything", "*", ""),
    ]  # fmt: skip


def test_rare_terms_have_a_higher_idf(root: Path) -> None:
    index = open_index(root).index
    assert index.idf("strict") > index.idf("return") > 0 == index.idf("string_or_comment_at")
    assert [one.path for one in index.search(["strict"], 5)] == ["package/core.py"]
    assert index.search([], 5) == []


def test_only_changed_files_are_indexed_again(root: Path) -> None:
    assert refresh(open_index(root).index, root) == RefreshResult(2, 0, 0, 0, None)
    (root / "package" / "names.py").write_text("def other():\n    pass\n")
    (root / "package" / "core.py").unlink()
    (root / "new.py").write_text("def fresh():\n    pass\n")
    index = open_index(root).index
    assert names(index, "fresh") == [("new.py", "")]
    assert names(index, "other") == [("package/names.py", "")]
    assert names(index, "clean") == names(index, "Store") == []
    assert index.search(["clean"], 5) == index.search(["rows"], 5) == []
    assert index.file_count() == 2


def test_a_file_of_any_time_is_indexed_when_it_changes(root: Path) -> None:
    """A clock that was set back or forward: whether a file is newer does not matter."""
    index = RepositoryIndex()
    for name, seconds in (("first", 4_000_000_000), ("other", 0), ("third", 1_000_000_000)):
        (root / "clock.py").write_text(f"def {name}():\n    pass\n")
        os.utime(root / "clock.py", (seconds, seconds))
        assert refresh(index, root).indexed >= 1
        assert index.definitions(name)
    assert refresh(index, root).indexed == 0
    index.close()


def test_nothing_of_a_file_with_a_secret_is_stored(root: Path) -> None:
    (root / "keys.py").write_text(f"def secret_holder():\n    return 'AKIA{'QYLPMN5HFIQR7XYA'}'\n")
    opened = open_index(root)
    assert opened.index.excluded_files() == {"may hold a secret": 1}
    assert opened.index.exclusion_of("keys.py") == "may hold a secret"
    opened.index.close()
    stored = b"".join(file.read_bytes() for file in index_file(root).parent.iterdir())
    assert b"secret_holder" not in stored
    assert b"def load(path" in stored


def test_a_damaged_index_is_rebuilt_with_a_notice(root: Path) -> None:
    open_index(root).index.close()
    index_file(root).write_bytes(b"no database at all" * 1000)
    opened = open_index(root)
    assert opened.notices == (DAMAGED,)
    assert names(opened.index, "load") == [("package/core.py", "")]
    opened.index.close()
    assert open_index(root).notices == ()


def test_damage_in_the_middle_is_detected(root: Path) -> None:
    for n in range(40):
        (root / f"file_{n}.py").write_text(
            "".join(
                f"def {name}(a):\n    return a + {n}\n"
                for name in (f"f_{n}", *"abcdefghijklmnopqrs")
            )
        )
    open_index(root).index.close()
    file = index_file(root)
    content = bytearray(file.read_bytes())
    content[4096 : len(content) - 4096] = b"\xa5" * (len(content) - 8192)
    file.write_bytes(bytes(content))
    opened = open_index(root)
    assert opened.notices == (DAMAGED,)
    assert names(opened.index, "f_7")


def test_an_index_of_another_version_is_rebuilt_without_a_notice(root: Path) -> None:
    open_index(root).index.close()
    with sqlite3.connect(index_file(root)) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(sqlite3.DatabaseError, match="version is 999"):
        RepositoryIndex(index_file(root), read_only=True)
    opened = open_index(root)
    assert opened.notices == ()
    assert opened.index.file_count() == 2


def test_an_index_that_cannot_be_stored_is_kept_in_memory(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / "file" / "cache"))
    opened = open_index(root)
    assert "cannot be kept on disk" in opened.notices[0]
    assert opened.index.file_count() == 2


def test_too_many_files_give_a_notice(root: Path) -> None:
    files = list_files(root, lambda path: path.endswith(".py"), max_files=1)
    result = refresh(RepositoryIndex(), root, files=files)
    assert result.files == 1
    assert "has 2 source files; only the 1 with the fewest folders" in (result.notice or "")


def test_a_file_that_is_deleted_during_indexing_is_excluded(root: Path) -> None:
    index = RepositoryIndex()

    def delete(done: int, total: int) -> None:
        (root / "package" / "core.py").unlink(missing_ok=True)

    refresh(index, root, delete)
    assert index.file_count() == 1
    assert index.exclusion_of("package/core.py") == "not a plain file"


def test_a_reader_sees_what_a_writer_commits(root: Path) -> None:
    open_index(root).index.close()
    writer, _ = open_or_rebuild(index_file(root))
    reader = RepositoryIndex(index_file(root), read_only=True)
    assert names(reader, "later") == []
    (root / "later.py").write_text("def later():\n    pass\n")
    refresh_file(writer, root, "later.py")
    reader.drop_stale_cache()
    assert names(reader, "later") == [("later.py", "")]
    with pytest.raises(sqlite3.OperationalError):
        reader.put("a.py", "x = 1\n")


def test_progress_is_reported(root: Path) -> None:
    reports: list[tuple[int, int]] = []
    open_index(root, lambda done, total: reports.append((done, total)))
    assert reports == [(0, 2), (2, 2)]


def test_stems() -> None:
    assert stem_of("a/b.py") == "a/b"
    assert stem_of("a/__init__.py") == "a"
    assert stem_of("a.b/c.d.py") == "a.b/c.d"


@given(
    st.lists(st.sampled_from(["x = 1\n", "\n", "def f():\n", "    y\r\n", "\f\n"]), max_size=120),
    st.sets(st.integers(0, 130)),
)
@settings(deadline=None)
def test_chunks_cover_every_line_once(lines: list[str], starts: set[int]) -> None:
    text = "".join(lines)
    chunks = split_into_chunks(text, sorted(starts))
    whole = text.splitlines(keepends=True)
    covered: list[int] = []
    for chunk in chunks:
        size = len(chunk.text.splitlines())
        assert size <= MAX_LINES
        assert chunk.text == "".join(whole[chunk.line : chunk.line + size])
        covered += range(chunk.line, chunk.line + size)
    assert len(covered) == len(set(covered))
    assert all(not whole[n].strip() for n in set(range(len(whole))) - set(covered))


@given(st.text(alphabet="def class(x):\n \t\"'#é😀=.,[]{}@\r\0\ud800import from", max_size=200))
@settings(deadline=None, max_examples=60)
def test_any_text_can_be_indexed(text: str) -> None:
    index = RepositoryIndex()
    index.put("a.py", text)
    index.put("a.py", text + "\nx = 1\n")
    assert index.contains("a.py")
    index.remove("a.py")
    assert not index.contains("a.py")
    assert index.file_count() == 0
    assert index.search(["def", "x"], 3) == []


def test_indexes_that_are_created_at_once_work(tmp_path: Path) -> None:
    """Two servers started on a fresh index: one died with "table files already exists"."""
    for n in range(10):
        file = tmp_path / f"{n}.sqlite"
        barrier = threading.Barrier(4)

        def create(file: Path = file, barrier: threading.Barrier = barrier) -> int:
            barrier.wait()
            with closing(RepositoryIndex(file)) as index:
                return index.file_count()

        with ThreadPoolExecutor(4) as executor:
            created = [executor.submit(create) for _ in range(4)]
        assert [future.result() for future in created] == [0, 0, 0, 0]


def test_a_reader_does_not_wait_for_a_lock(tmp_path: Path) -> None:
    file = tmp_path / "index.sqlite"
    RepositoryIndex(file).close()
    locker = sqlite3.connect(file, isolation_level=None)
    locker.execute("PRAGMA locking_mode = EXCLUSIVE")
    locker.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        RepositoryIndex(file, read_only=True).file_count()
    locker.close()


@pytest.mark.parametrize("path", ["caf\udce9.py", "d\udce9r/a.py"])
def test_a_path_that_is_not_utf_8_is_no_error(path: str) -> None:
    index = RepositoryIndex()
    index.put(path, "def first():\n    pass\n")
    assert index.contains(path)
    assert index.exclusion_of(path) is None
    assert index.definitions_in(path, "first")
    assert index.imports_of(path) == []
    index.remove(path)
    assert not index.contains(path)


def test_a_copy_belongs_to_another_thread(tmp_path: Path) -> None:
    index = RepositoryIndex(tmp_path / "index.sqlite")
    index.put("a.py", "def first():\n    pass\n")
    copy = index.copy()
    index.put("b.py", "x = 1\n")
    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(copy.file_count).result() == 1


def test_a_replaced_or_deleted_file_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "index.sqlite"
    index = RepositoryIndex(file)
    assert not index.is_replaced()
    file.rename(tmp_path / "old")
    assert index.is_replaced()
    RepositoryIndex(file).close()
    assert index.is_replaced()
    assert not RepositoryIndex().is_replaced()
