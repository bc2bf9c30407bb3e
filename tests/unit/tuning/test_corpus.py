"""Which files are read, and which side of the split they stand on."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.corpus import CorpusError, SourceFile, collect
from tuning.history import commit_of
from tuning.split import split

READABLE = {f"package/file_{n}.py" for n in range(12)}


@pytest.mark.parametrize("kind", ["repository", "git_repository"])
def test_ignored_and_unreadable_files_are_left_out(
    kind: str, request: pytest.FixtureRequest
) -> None:
    read = collect(request.getfixturevalue(kind))
    assert {file.path for file in read.files} == READABLE
    assert read.left_out == {"not UTF-8": 1, "empty": 1, "minified or data": 1}


def test_new_files_that_git_does_not_ignore_are_read(git_repository: Path) -> None:
    (git_repository / "new.py").write_text("x = 1\n")
    assert "new.py" in {file.path for file in collect(git_repository).files}


def test_symbolic_links_are_not_followed(repository: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text("x = 1\n")
    (repository / "link.py").symlink_to(outside)
    assert "link.py" not in {file.path for file in collect(repository).files}


def test_the_commit_is_known(git_repository: Path, tmp_path: Path) -> None:
    assert len(commit_of(git_repository) or "") == 40
    (tmp_path / "plain").mkdir()
    assert commit_of(tmp_path / "plain") is None


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (lambda root: None, "is not a folder"),
        (lambda root: root.mkdir(), "no source files to tune on"),
        (lambda root: (root.mkdir(), (root / "a.txt").write_text("x")), "no source files"),
        (lambda root: (root.mkdir(), (root / "a.py").write_bytes(b"\xff")), "1 not UTF-8"),
    ],
)
def test_nothing_to_read(prepare, sentence: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    prepare(root)
    with pytest.raises(CorpusError, match=sentence):
        collect(root)


def test_the_split_is_by_file_and_repeatable(repository: Path) -> None:
    files = collect(repository).files
    first, second = split(files, 1), split(files, 1)
    assert first == second
    sides = [{file.path for file in side} for side in (first.train, first.validation, first.test)]
    assert set.union(*sides) == READABLE
    assert sum(map(len, sides)) == len(READABLE), "no file on two sides"
    assert all(sides)
    assert split(files, 2) != first


def test_near_duplicates_stay_on_one_side() -> None:
    def body(name: str, last: int) -> str:
        return "".join(f"def {name}_{n}(x):\n    return x * {n}\n" for n in range(last))

    files = tuple(
        SourceFile(f"{name}_{copy}.py", body(name, 20) + f"{name} = {copy}\n")
        for name in ("a", "b", "c", "d", "e", "f")
        for copy in range(2)
    )
    for seed in range(8):
        parts = split(files, seed)
        for side in (parts.train, parts.validation, parts.test):
            stems = [file.path[0] for file in side]
            assert all(stems.count(stem) == 2 for stem in stems)


@pytest.mark.parametrize(
    ("before", "line", "after"), [("", "# ", ""), ("", "// ", ""), ("/*\n", " * ", " */\n")]
)
def test_a_licence_header_makes_no_near_duplicates(before: str, line: str, after: str) -> None:
    header = before + "".join(f"{line}Licence line {n}\n" for n in range(14)) + after
    files = tuple(SourceFile(f"{n}.py", f"{header}\nx_{n} = {n}\n") for n in range(8))
    assert split(files, 1).sizes == {"train": 6, "validation": 1, "test": 1}


def test_too_few_files_are_refused() -> None:
    files = tuple(SourceFile(f"{n}.py", f"x = {n}\n" * 9) for n in range(3))
    with pytest.raises(CorpusError, match="at least 4 are needed"):
        split(files, 1)


@given(st.integers(4, 60), st.integers(0, 5))
def test_shares_hold(count: int, seed: int) -> None:
    files = tuple(
        SourceFile(f"{n}.py", "".join(f"line_{n}_{m} = {m}\n" for m in range(9)))
        for n in range(count)
    )
    parts = split(files, seed)
    assert len(parts.validation) >= 1
    assert len(parts.test) >= 1
    assert len(parts.train) >= count // 2


def test_the_language_of_most_of_the_repository_is_read(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("import setuptools\n")
    (tmp_path / "a.ts").write_text("export const size = 3;\n" * 20)
    (tmp_path / "b.js").write_text("export const size = 3;\n" * 20)
    (tmp_path / "c.go").write_text("package main\n")
    assert [file.path for file in collect(tmp_path).files] == ["a.ts", "b.js"]
    (tmp_path / "setup.py").write_text("import setuptools\n" * 100)
    assert [file.path for file in collect(tmp_path).files] == ["setup.py"]
