"""Only a regular file of allowed size is opened; everything else is refused at once."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from code_model.language_model import ModelLoadError
from code_model.model_folder import read_json
from file_access import regular_file
from file_access.regular_file import RefusedFileError, read_regular_file
from prompts.configuration import add_route, read_configuration
from prompts.errors import NotAPromptFile, PromptError
from prompts.file import read_manifest, read_prompt, sha256_of
from prompts.manifest import ModelIdentity
from prompts.peft import CONFIG_NAME, WEIGHTS_NAME, import_adapter
from prompts.registry.files import FolderFiles
from prompts.signature import read_signature
from prompts.store import used_digests
from prompts.trust import consent, consents_path, trust_of
from prompts.user import user_folder

pytestmark = pytest.mark.timeout(20)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def unix_socket(path: Path) -> None:
    os.chdir(path.parent)  # a socket's address is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(10 << 30)


SPECIAL = [pipe, device, folder, unix_socket, loop, sparse]
special = pytest.mark.parametrize("make", SPECIAL)


@special
def test_what_is_no_regular_file_is_refused(
    make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "x")
    with pytest.raises(OSError):
        read_regular_file(tmp_path / "x", 1000)


def test_a_pipe_that_replaces_the_file_after_the_check_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening must not wait for a writer even if the first check was passed."""
    path = tmp_path / "x"
    os.mkfifo(path)
    checked = []
    check = regular_file._check

    def pass_first(path: Path, status: os.stat_result, max_bytes: int) -> None:
        checked.append(stat.S_ISFIFO(status.st_mode))
        if len(checked) > 1:
            check(path, status, max_bytes)

    monkeypatch.setattr(regular_file, "_check", pass_first)
    with pytest.raises(RefusedFileError):
        read_regular_file(path, 1000)
    assert checked == [True, True]


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a" * 10)
    assert read_regular_file(path, 10) == b"a" * 10
    with pytest.raises(RefusedFileError, match="larger than 9 bytes"):
        read_regular_file(path, 9)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="a file of Linux")
def test_a_file_whose_size_is_not_stated_is_bounded_too() -> None:
    with pytest.raises(RefusedFileError, match="larger than 9 bytes"):
        read_regular_file(Path("/proc/self/maps"), 9)


def test_links_lead_only_where_they_may(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_text("s")
    (inside / "own").write_text("o")
    (inside / "out").symlink_to(tmp_path / "secret")
    (inside / "own_link").symlink_to("own")
    (inside / "folder").symlink_to(tmp_path)
    assert read_regular_file(inside / "own_link", 9, within=inside) == b"o"
    for name in ("out", "folder/secret"):
        assert read_regular_file(inside / name, 9) == b"s"
        with pytest.raises(RefusedFileError, match="out of its folder"):
            read_regular_file(inside / name, 9, within=inside)
    with pytest.raises(RefusedFileError, match="it is a link"):
        read_regular_file(inside / "own_link", 9, follow_links=False)


def test_a_null_character_is_an_error_as_any_other(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        read_regular_file(tmp_path / "a\0b", 9)


IDENTITY = ModelIdentity(
    name="m",
    model_fingerprint="1" * 64,
    tokenizer_fingerprint="2" * 64,
    layout_fingerprint="3" * 64,
    num_layers=1,
    num_key_value_heads=1,
    head_dim=1,
    hidden_size=2,
)
READERS: dict[str, Callable[[Path], object]] = {
    "attune.toml": read_configuration,
    "attune.toml that is changed": lambda path: add_route(path.parent, ("**",), "p"),
    "prompt": read_prompt,
    "header of a prompt": read_manifest,
    "digest of a prompt": sha256_of,
    "signature": lambda path: read_signature(path.with_suffix("")),
    "registry": lambda path: FolderFiles(path.parent).read(path.name, 1000),
    "config.json": read_json,
    "adapter": lambda path: import_adapter(path.parent, IDENTITY, "p"),
}
NAMES = {
    "attune.toml that is changed": "attune.toml",
    "signature": "x.sig",
    "adapter": CONFIG_NAME,
}


@special
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_refuses_it_with_a_sentence(
    reader: str, make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / NAMES.get(reader, "x")
    make(path)
    with pytest.raises((PromptError, ModelLoadError)) as caught:
        READERS[reader](path)
    assert str(caught.value).endswith(".")
    assert str(tmp_path) in str(caught.value)


@special
def test_the_users_own_files_are_refused_too(
    make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    make(consents_path())
    make(user_folder() / "workspaces.json")
    with pytest.raises(PromptError):
        trust_of(b"", "0" * 64, None, "x")
    with pytest.raises(PromptError):
        consent("p", "0" * 64, trust=None)  # type: ignore[arg-type]
    with pytest.raises(PromptError):
        used_digests()


def test_a_byte_order_mark_is_no_part_of_the_content(tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"
    (tmp_path / "attune.toml").write_bytes(mark + b'registry = "r"\n')
    assert read_configuration(tmp_path / "attune.toml").registry == "r"
    add_route(tmp_path, ("**",), "p")
    assert [route.prompt for route in read_configuration(tmp_path / "attune.toml").routes] == ["p"]
    (tmp_path / "config.json").write_bytes(mark + b'{"a": 1}')
    assert read_json(tmp_path / "config.json") == {"a": 1}
    (tmp_path / CONFIG_NAME).write_bytes(
        mark + b'{"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 1}'
    )
    with pytest.raises(NotAPromptFile, match=WEIGHTS_NAME):  # the configuration was read
        import_adapter(tmp_path, IDENTITY, "p")
