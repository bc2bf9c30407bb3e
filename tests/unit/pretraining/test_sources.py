"""Fetching: the client of each source is asked for the exact version, and a failure is named."""

from pathlib import Path

import pytest

from pretraining import sources
from pretraining.corpus import CorpusError
from pretraining.package_lists import Package

NPM = Package("@scope/made", "1.2.3", "npm", "javascript", held_out=False)
DEB = Package("made-dev", "2:1.0-1", "deb", "go", held_out=False)
SOURCE = Package("made", "2:1.0-1", "deb-src", "c", held_out=False)


def client(folder: Path, name: str, script: str) -> None:
    """A program that stands in for a package client."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def test_a_package_is_fetched_once_at_its_version(programs: Path, tmp_path: Path) -> None:
    client(programs, "npm", 'echo "$@" >> calls; echo "$@" >> ../../../calls')
    sources.fetch(NPM, tmp_path)
    sources.fetch(NPM, tmp_path)
    assert (tmp_path / "calls").read_text() == "pack --ignore-scripts @scope/made@1.2.3\n"
    assert (sources.folder_of(NPM, tmp_path) / "calls").is_file()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "echo half > made.tgz; echo first >&2; echo 'no such version' >&2; exit 1",
            "no such vers",
        ),
        ("exit 1", "no message"),
        ("true", "npm fetched nothing"),
    ],
)
def test_what_cannot_be_fetched_is_named_and_leaves_nothing(
    script: str, reason: str, programs: Path, tmp_path: Path
) -> None:
    client(programs, "npm", script)
    with pytest.raises(CorpusError, match=rf"@scope/made 1\.2\.3 .*{reason}.*javascript\.toml"):
        sources.fetch(NPM, tmp_path)
    assert list((tmp_path / "archives" / "npm").iterdir()) == []


def test_a_client_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CorpusError, match="npm is not installed"):
        sources.fetch(NPM, tmp_path)


def test_what_a_killed_fetch_left_is_fetched_anew(programs: Path, tmp_path: Path) -> None:
    client(programs, "npm", "echo whole > made.tgz")
    complete = sources.folder_of(NPM, tmp_path)
    partial = complete.with_name(complete.name + ".part")
    partial.mkdir(parents=True)
    (partial / "half.tgz").write_text("half")
    sources.fetch(NPM, tmp_path)
    assert [path.name for path in complete.iterdir()] == ["made.tgz"]
    assert not partial.exists()


def test_apt_gets_lists_of_its_own_with_source_packages(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = tmp_path / "machine"
    (machine / "parts").mkdir(parents=True)
    (machine / "sources.list").write_text("# comment\ndeb [signed-by=k] file:/mirror stable main\n")
    (machine / "parts" / "a.sources").write_text("Types: deb\nURIs: file:/mirror\n")
    (machine / "parts" / "b.sources.disabled").write_text("Types: deb\n")
    monkeypatch.setattr(sources, "APT_SOURCES", (machine / "sources.list", machine / "parts"))
    client(programs, "apt-get", f'echo "$@" >> {tmp_path}/calls; touch made')
    sources.fetch(DEB, tmp_path)
    sources.fetch(SOURCE, tmp_path)
    own = tmp_path / "apt"
    assert (own / "sources.list").read_text() == (
        "# comment\n"
        "deb-src [signed-by=k] file:/mirror stable main\n"
        "deb [signed-by=k] file:/mirror stable main\n"
    )
    assert (own / "sources.list.d" / "a.sources").read_text() == (
        "Types: deb deb-src\nURIs: file:/mirror\n"
    )
    assert [path.name for path in (own / "sources.list.d").iterdir()] == ["a.sources"]
    calls = [line.split() for line in (tmp_path / "calls").read_text().splitlines()]
    assert [call[-1] for call in calls] == ["update", "made-dev=2:1.0-1", "made=2:1.0-1"]
    assert [call[-2] for call in calls[1:]] == ["download", "--download-only"]
    assert all(f"-oDir::State::lists={own / 'lists'}" in call for call in calls)


def test_lists_that_cannot_be_fetched_are_tried_again(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "APT_SOURCES", (tmp_path / "none", tmp_path / "nothing"))
    client(programs, "apt-get", "echo 'no network' >&2; exit 100")
    with pytest.raises(CorpusError, match="no network"):
        sources.fetch(DEB, tmp_path)
    client(programs, "apt-get", "touch made")
    sources.fetch(DEB, tmp_path)
    assert sources.folder_of(DEB, tmp_path).is_dir()
