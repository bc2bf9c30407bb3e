"""The repository's prompts and routes, and the user's store, as commands change them."""

import dataclasses
import os
from pathlib import Path

import pytest

from prompts.configuration import (
    FILE_NAME,
    FOLDER,
    Route,
    add_route,
    read_configuration,
    remove_routes,
)
from prompts.diff import diff_prompts
from prompts.errors import ConfigurationError, CorruptPrompt, StoreError
from prompts.file import SUFFIX, PromptFile, encode_prompt, read_prompt, write_prompt
from prompts.prompt_folder import find_prompt, put_prompt, remove_prompt
from prompts.signature import signature_path
from prompts.store import Store, add_referring_root, used_digests


def variant(prompt: PromptFile, name: str) -> PromptFile:
    return dataclasses.replace(prompt, manifest=dataclasses.replace(prompt.manifest, name=name))


def routes(root: Path) -> tuple[Route, ...]:
    return read_configuration(root / FOLDER / FILE_NAME).routes


def test_store_is_content_addressed(kv_prompt: PromptFile) -> None:
    """The same bytes are kept once, under their digest, with their signature."""
    store = Store()
    data = encode_prompt(kv_prompt)
    digest = store.add(data, None, "f").sha256
    assert digest is not None
    assert store.add(data, b"signature", "f").sha256 == digest
    assert list(store.digests()) == [digest]
    assert store.path(digest).read_bytes() == data
    assert signature_path(store.path(digest)).read_bytes() == b"signature"
    assert store.find(digest[:6]) == store.find(digest) == digest
    store.remove(digest)
    assert list(store.digests()) == []
    assert not signature_path(store.path(digest)).exists()
    with pytest.raises(StoreError, match="could not be removed"):
        store.remove(digest)


def test_store_keeps_no_bad_file(kv_prompt: PromptFile) -> None:
    with pytest.raises(CorruptPrompt, match=r"^pulled\.file: "):
        Store().add(encode_prompt(kv_prompt)[:-1], None, "pulled.file")
    assert list(Store().digests()) == []


@pytest.mark.parametrize("prefix", ["abc", "", "../../x", "ABCDEF", "abcdef"])
def test_store_finds_only_what_is_meant(prefix: str) -> None:
    with pytest.raises(StoreError):
        Store().find(prefix)


def test_references(tmp_path: Path, kv_prompt: PromptFile) -> None:
    """A path, a name of the repository, a digest; and a sentence for anything else."""
    put_prompt(tmp_path, "own", encode_prompt(kv_prompt), None, "f")
    own = tmp_path / FOLDER / f"own{SUFFIX}"
    assert find_prompt("own", tmp_path) == own
    assert find_prompt(str(own), tmp_path) == own
    digest = Store().add(encode_prompt(kv_prompt), None, "f").sha256
    assert digest is not None
    for reference in (digest, digest[:8], f"sha256:{digest}"):
        assert find_prompt(reference, tmp_path) == Store().path(digest)
    for reference in ("absent", "../own", "abcdef123", ""):
        with pytest.raises(StoreError, match="There is no prompt"):
            find_prompt(reference, tmp_path)


def test_what_is_replaced_is_kept(tmp_path: Path, kv_prompt: PromptFile) -> None:
    """In the store, with its signature; a new file never stands beside an old signature."""
    first = put_prompt(tmp_path, "p", encode_prompt(kv_prompt), b"first", "f")
    put_prompt(tmp_path, "p", encode_prompt(variant(kv_prompt, "second")), None, "f")
    path = tmp_path / FOLDER / f"p{SUFFIX}"
    assert read_prompt(path).manifest.name == "second"
    assert not signature_path(path).exists()
    assert list(Store().digests()) == [first.sha256]
    assert signature_path(Store().path(first.sha256 or "")).read_bytes() == b"first"
    path.write_bytes(b"no prompt")
    put_prompt(tmp_path, "p", encode_prompt(kv_prompt), None, "f")
    assert len(list(Store().digests())) == 1


def test_routes_keep_order_and_comments(tmp_path: Path) -> None:
    """A part comes before the whole, and what people wrote stays."""
    folder = tmp_path / FOLDER
    folder.mkdir()
    (folder / FILE_NAME).write_text('# ours\nregistry = "r"\n')
    add_route(folder, ["**"], "all")
    add_route(folder, ["a/**"], "a")
    add_route(folder, ["b/**", "!b/c"], "b")
    assert [route.prompt for route in routes(tmp_path)] == ["b", "a", "all"]
    add_route(folder, ["**"], "other")
    assert [route.prompt for route in routes(tmp_path)] == ["b", "a", "other"]
    assert (folder / FILE_NAME).read_text().startswith('# ours\nregistry = "r"\n')
    for name in ("a", "b", "other", "absent"):
        remove_routes(folder, name)
    assert routes(tmp_path) == ()
    assert "# ours" in (folder / FILE_NAME).read_text()


def test_a_bad_attune_toml_is_not_changed(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir()
    (folder / FILE_NAME).write_text("rout = 1\n")
    with pytest.raises(ConfigurationError, match="rout is not a known key"):
        add_route(folder, ["**"], "p")
    assert (folder / FILE_NAME).read_text() == "rout = 1\n"


def test_remove_takes_file_signature_and_routes(tmp_path: Path, kv_prompt: PromptFile) -> None:
    put_prompt(tmp_path, "p", encode_prompt(kv_prompt), b"s", "f")
    add_route(tmp_path / FOLDER, ["a/**"], "p")
    add_route(tmp_path / FOLDER, ["**"], "q")
    remove_prompt(tmp_path, "p")
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == [FILE_NAME]
    assert [route.prompt for route in routes(tmp_path)] == ["q"]
    with pytest.raises(StoreError, match="could not be removed"):
        remove_prompt(tmp_path, "p")


def test_gc_keeps_what_a_route_leads_to(tmp_path: Path, kv_prompt: PromptFile) -> None:
    store = Store()
    kept, gone, young = (
        store.add(encode_prompt(variant(kv_prompt, name)), None, "f").sha256 or "" for name in "kgy"
    )
    add_route(tmp_path / FOLDER, ["**"], f"sha256:{kept}")
    add_referring_root(tmp_path)
    add_referring_root(tmp_path)
    for digest in (kept, gone):
        os.utime(store.path(digest), (0, 0))
    assert store.unused(used_digests(), 30) == [gone]
    assert set(store.unused(used_digests(), 0)) == {gone, young}
    (tmp_path / FOLDER / FILE_NAME).write_text("[[route]")
    with pytest.raises(ConfigurationError):
        used_digests()


def test_diff_prompts(kv_prompt: PromptFile, embedding_prompt: PromptFile, tmp_path: Path) -> None:
    write_prompt(tmp_path / "p", kv_prompt)
    assert diff_prompts(kv_prompt, read_prompt(tmp_path / "p")).is_empty
    moved = kv_prompt.embeddings.copy()
    moved[1, 2] += 0.5
    manifest = dataclasses.replace(kv_prompt.manifest, measured={"gain": 0.5}, globs=("a",))
    diff = diff_prompts(kv_prompt, PromptFile(manifest, moved))
    assert not diff.is_empty
    assert diff.fields["measured.gain"] == (None, 0.5)
    assert diff.fields["globs"] == ([], ["a"])
    assert "name" not in diff.fields
    assert diff.tensor is not None
    assert (diff.tensor.changed_tokens, diff.tensor.largest) == (1, 0.5)
    assert diff_prompts(kv_prompt, embedding_prompt).tensor is None
