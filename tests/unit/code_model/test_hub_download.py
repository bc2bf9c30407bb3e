"""Downloads from a hub: what is taken, what is verified, and that nothing is downloaded twice."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from code_model import hub_download
from code_model.hub_download import DownloadError, download, parse_address
from code_model.loading import load_model
from tests.unit.code_model.fake_hub import COMMIT, REPOSITORY, FakeHub, files_of

ADDRESS = parse_address(f"hf://{REPOSITORY}")


def ignore(done: int, total: int) -> None:
    pass


@pytest.fixture
def hub(tiny_model: Path) -> FakeHub:
    return FakeHub(files_of(tiny_model))


@pytest.fixture
def endpoint(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("HF_TOKEN", "secret")
    with hub.served() as endpoint:
        yield endpoint


def test_only_what_a_model_needs_is_downloaded(
    hub: FakeHub, endpoint: str, tmp_path: Path, tiny_model: Path
) -> None:
    seen: list[tuple[int, int]] = []
    result = download(ADDRESS, tmp_path, lambda done, total: seen.append((done, total)), endpoint)
    assert result.commit == COMMIT
    names = {file.name for file in result.path.iterdir()}
    assert names == {
        "attune.json",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    same = load_model(tiny_model).identity == load_model(result.path).identity
    assert same
    assert seen[-1][0] == seen[-1][1] == sum(file.stat().st_size for file in result.path.iterdir())
    assert {path for path, *_ in hub.requests if "resolve" in path} == {
        f"/{REPOSITORY}/resolve/{COMMIT}/{name}"
        for name in names  # pinned, not at "main"
    }
    # the user's token is for another hub
    assert [token for *_, token in hub.requests if token is not None] == []
    before = len(hub.requests)
    assert download(ADDRESS, tmp_path, ignore, endpoint) == result
    assert len(hub.requests) == before + 1  # only which commit it is


def test_a_wrong_hash_is_refused_and_the_rest_is_kept(
    hub: FakeHub, endpoint: str, tmp_path: Path
) -> None:
    weights = hub.files["model.safetensors"]
    hub.files["model.safetensors"] = bytes(len(weights))
    with pytest.raises(DownloadError, match=r"sent model.safetensors with a wrong hash"):
        download(ADDRESS, tmp_path, ignore, endpoint)
    hub.files["model.safetensors"] = weights
    hub.requests.clear()
    assert download(ADDRESS, tmp_path, ignore, endpoint).path.is_dir()
    fetched = [path.rpartition("/")[2] for path, *_ in hub.requests]
    assert fetched == ["main", "model.safetensors"]


def test_a_changed_small_file_is_refused(hub: FakeHub, endpoint: str, tmp_path: Path) -> None:
    config = hub.files["config.json"]
    hub.files["config.json"] = config.replace(b"2", b"3", 1)
    with pytest.raises(DownloadError, match=r"config.json with a wrong hash"):
        download(ADDRESS, tmp_path, ignore, endpoint)


def test_an_unfinished_file_is_continued(hub: FakeHub, endpoint: str, tmp_path: Path) -> None:
    partial = tmp_path / f".owner--tiny-{COMMIT[:12]}.partial"
    partial.mkdir()
    (partial / "model.safetensors.part").write_bytes(hub.files["model.safetensors"][:1000])
    result = download(ADDRESS, tmp_path, ignore, endpoint)
    assert (result.path / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    assert "bytes=1000-" in [wanted for _, wanted, _ in hub.requests]


def test_weights_in_parts(hub: FakeHub, endpoint: str, tmp_path: Path) -> None:
    weights = hub.stated.pop("model.safetensors")
    for number in (1, 2):
        hub.stated[f"part-{number}.safetensors"] = weights
    index = {"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}
    hub.stated["model.safetensors.index.json"] = json.dumps(index).encode()
    hub.files |= hub.stated
    names = {file.name for file in download(ADDRESS, tmp_path, ignore, endpoint).path.iterdir()}
    assert {"part-1.safetensors", "part-2.safetensors"} <= names
    assert "consolidated.safetensors" not in names


def test_one_gguf_file(hub: FakeHub, endpoint: str, tmp_path: Path) -> None:
    hub.stated["q4/tiny.gguf"] = hub.files["q4/tiny.gguf"] = b"GGUF" * 100
    address = parse_address(f"hf://{REPOSITORY}/q4/tiny.gguf@main")
    result = download(address, tmp_path, ignore, endpoint)
    assert result.path.read_bytes() == b"GGUF" * 100
    assert [file for file in result.path.parents[1].rglob("*") if file.is_file()] == [result.path]


@pytest.mark.parametrize("gguf_first", [True, False])
def test_a_gguf_file_and_the_model_of_the_same_commit(
    hub: FakeHub, endpoint: str, tmp_path: Path, gguf_first: bool
) -> None:
    hub.stated["q4/tiny.gguf"] = hub.files["q4/tiny.gguf"] = b"GGUF" * 100
    gguf = parse_address(f"hf://{REPOSITORY}/q4/tiny.gguf")
    for address in (gguf, ADDRESS) if gguf_first else (ADDRESS, gguf):
        download(address, tmp_path, ignore, endpoint)
    before = len(hub.requests)
    folder = download(ADDRESS, tmp_path, ignore, endpoint).path
    assert download(gguf, tmp_path, ignore, endpoint).path == folder / "q4" / "tiny.gguf"
    assert load_model(folder).name == "tiny"
    assert len(hub.requests) == before + 2  # only which commit it is
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [folder]


@pytest.mark.parametrize("index", [b"{", b"[]", b'{"weight_map": 1}', b"{}"])
def test_an_index_that_names_no_weights(
    hub: FakeHub, endpoint: str, tmp_path: Path, index: bytes
) -> None:
    name = "model.safetensors.index.json"
    hub.stated[name] = hub.files[name] = index
    with pytest.raises(DownloadError, match=r"index\.json that names no weights; choose another"):
        download(ADDRESS, tmp_path, ignore, endpoint)


def test_two_processes_do_not_write_the_same_file(endpoint: str, tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / f".owner--tiny-{COMMIT[:12]}.lock"),
        pytest.raises(DownloadError, match="is being downloaded by another process"),
    ):
        download(ADDRESS, tmp_path, ignore, endpoint)
    assert download(ADDRESS, tmp_path, ignore, endpoint).path.is_dir()


def test_downloads_that_nobody_went_on_with_are_removed(endpoint: str, tmp_path: Path) -> None:
    old, recent = tmp_path / ".a--b-1.partial", tmp_path / ".a--c-2.partial"
    for partial in (old, recent):
        partial.mkdir()
        (partial / "model.safetensors.part").write_bytes(b"half")
    for path in (old / "model.safetensors.part", old):
        os.utime(path, (1.0, 1.0))
    assert download(ADDRESS, tmp_path, ignore, endpoint).path.is_dir()
    assert not old.exists()
    assert (recent / "model.safetensors.part").exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(endpoint: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(DownloadError, match=r"could not be written \(File exists\)"):
        download(ADDRESS, file, ignore, endpoint)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("tokenizer.json", "has no tokenizer.json"),
        ("model.safetensors", "weights in other formats than safetensors are not loaded"),
    ],
)
def test_what_is_no_model_is_refused(
    hub: FakeHub, endpoint: str, tmp_path: Path, missing: str, words: str
) -> None:
    del hub.stated[missing]
    with pytest.raises(DownloadError, match=words):
        download(ADDRESS, tmp_path, ignore, endpoint)


def test_a_disk_that_is_too_small(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_download.shutil, "disk_usage", lambda path: type("U", (), {"free": 9}))
    with pytest.raises(DownloadError, match=r"where 0\.0 GB are free"):
        download(ADDRESS, tmp_path, ignore, endpoint)


def test_an_unknown_repository_is_one_sentence(endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="could not be downloaded") as caught:
        download(parse_address("hf://owner/none"), tmp_path, ignore, endpoint)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["hf://a", "hf://a/../b", "hf://a/b/c.py", "hf://a/b@m n", "x"])
def test_addresses_that_are_none(source: str) -> None:
    with pytest.raises(DownloadError, match="is not hf://OWNER/NAME@REVISION"):
        parse_address(source)
