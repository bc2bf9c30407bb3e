"""Push and pull against real stores: a folder, an S3 server, a web server, a git remote."""

import contextlib
import dataclasses
import functools
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from prompts.errors import CorruptPrompt, PromptError, RegistryError
from prompts.file import SUFFIX, PromptFile, encode_prompt
from prompts.manifest import Manifest, ModelIdentity
from prompts.registry import Entry, Registry, open_registry
from prompts.registry import hub as hub_module
from prompts.registry.files import FolderFiles, open_files

Open = Callable[[], Registry]


def variant(prompt: PromptFile, **changes: Any) -> bytes:
    manifest: Manifest = dataclasses.replace(prompt.manifest, **changes)
    return encode_prompt(dataclasses.replace(prompt, manifest=manifest))


def other_model(prompt: PromptFile) -> ModelIdentity:
    return dataclasses.replace(prompt.manifest.model, model_fingerprint="ff" * 32)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real S3-compatible server with a bucket `team`."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    application = DomainDispatcherApplication(create_backend_app)
    one_at_a_time = threading.Lock()

    def atomic(environment: Any, start_response: Any) -> list[bytes]:
        # S3 promises that of two conditional writes one succeeds; this server does not by itself.
        with one_at_a_time:
            return list(application(environment, start_response))

    server = make_server("127.0.0.1", 0, atomic, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


@pytest.fixture
def s3_registry(s3: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Open:
    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = f"team-{abs(hash(request.node.name))}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return lambda: open_registry(f"s3://{bucket}/prompts", Path())


@pytest.fixture
def git_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text("[user]\nname = A\nemail = a@example.org\n")
    remote = tmp_path / "remote.git"
    subprocess.run(["git", "init", "-q", "--bare", str(remote)], check=True)
    return lambda: open_registry(f"git+file://{remote}", Path())


@pytest.fixture
def folder_registry(tmp_path: Path) -> Open:
    return lambda: open_registry("registry", tmp_path)


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow), "git"])
def registry(request: pytest.FixtureRequest) -> Open:
    opened: Open = request.getfixturevalue(f"{request.param}_registry")
    return opened


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """A web server of a folder, on a free port."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_push_and_pull(registry: Open, kv_prompt: PromptFile) -> None:
    """Versions count up, the newest one for the model is pulled, and pushing again changes none."""
    model = kv_prompt.manifest.model
    first, second = variant(kv_prompt), variant(kv_prompt, measured={"gain": 0.5, "proven": True})
    foreign = variant(kv_prompt, model=other_model(kv_prompt))
    assert registry().newest("team") == 0
    assert registry().names() == []
    assert registry().push("team", first, b"-----BEGIN SSH SIGNATURE-----") == 1
    assert registry().push("team", first, b"-----BEGIN SSH SIGNATURE-----") == 1
    assert registry().push("team", second, None) == 2
    assert registry().push("team", foreign, None) == 3
    assert registry().push("docs", first, None) == 1
    assert registry().names() == ["docs", "team"]
    pulled = registry().pull("team", model)
    assert (pulled.version, pulled.data, pulled.signature) == (2, second, None)
    assert registry().pull("docs", model).data == first
    versions = list(registry().versions("team"))
    assert [version for version, _ in versions] == [3, 2, 1]
    assert [entry.gain for _, entry in versions] == [None, 0.5, None]
    assert versions[1][1].lineage == kv_prompt.manifest.lineage
    with pytest.raises(RegistryError, match=r"no version of absent for model 'example/tiny-coder'"):
        registry().pull("absent", model)


@pytest.mark.slow
def test_a_web_server_is_read(folder_registry: Open, tmp_path: Path, kv_prompt: PromptFile) -> None:
    """Without any listing: the newest version is found by asking for numbers."""
    files = [variant(kv_prompt, name=f"n{n}") for n in range(1, 8)]
    for n, data in enumerate(files, 1):
        assert folder_registry().push("team", data, None) == n
    with served(tmp_path / "registry") as url:
        web = open_registry(url, Path())
        assert web.newest("team") == 7
        assert web.newest("absent") == 0
        assert web.pull("team", kv_prompt.manifest.model).data == files[-1]
        with pytest.raises(RegistryError, match="can only be read"):
            web.push("team", files[0], None)
        with pytest.raises(RegistryError, match="cannot be listed"):
            web.names()
    with pytest.raises(RegistryError, match="could not be read"):
        web.newest("team")


N_PUSHERS = {"folder": 50, "s3": 6, "git": 8}


@pytest.mark.slow
@pytest.mark.parametrize("kind", N_PUSHERS)
def test_concurrent_pushers_lose_nothing(
    kind: str, kv_prompt: PromptFile, request: pytest.FixtureRequest
) -> None:
    """Every pusher gets a number of its own, and under it stands what it pushed."""
    opened: Open = request.getfixturevalue(f"{kind}_registry")
    n_pushers = N_PUSHERS[kind]
    files = [variant(kv_prompt, name=f"n{n}") for n in range(n_pushers)]
    start = threading.Barrier(n_pushers)

    def push(data: bytes) -> int:
        registry = opened()
        start.wait()
        return registry.push("team", data, None)

    with ThreadPoolExecutor(n_pushers) as pool:
        numbers = list(pool.map(push, files))
    assert sorted(numbers) == list(range(1, n_pushers + 1))
    versions = dict(opened().versions("team"))
    for number, data in zip(numbers, files, strict=True):
        assert opened()._file(versions[number]) == data


@pytest.mark.slow
def test_pushers_in_processes_that_are_killed(tmp_path: Path, kv_prompt: PromptFile) -> None:
    """A pusher that dies at any moment leaves whole versions and no gap."""
    program = (
        "import sys; from pathlib import Path\n"
        "from prompts.file import read_prompt, encode_prompt\n"
        "from prompts.registry import open_registry\n"
        "import dataclasses, os\n"
        "prompt = read_prompt(Path(sys.argv[1]))\n"
        "for n in range(10_000):\n"
        "    name = f'{os.getpid()}-{n}'\n"
        "    manifest = dataclasses.replace(prompt.manifest, name=name)\n"
        "    data = encode_prompt(dataclasses.replace(prompt, manifest=manifest))\n"
        "    print(open_registry(sys.argv[2], Path()).push('team', data, None), flush=True)\n"
    )
    source, folder = tmp_path / f"p{SUFFIX}", tmp_path / "registry"
    source.write_bytes(encode_prompt(kv_prompt))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(source), str(folder)]
    acknowledged: list[int] = []
    for _ in range(2):
        processes = [
            subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
            for _ in range(3)
        ]
        for n_lines, process in enumerate(processes, 3):
            assert process.stdout is not None
            acknowledged += [int(process.stdout.readline()) for _ in range(n_lines)]
            process.kill()
        for process in processes:
            rest, _ = process.communicate(timeout=60)
            acknowledged += [int(line) for line in rest.split("\n")[:-1]]
    registry = open_registry(str(folder), Path())
    versions = dict(registry.versions("team"))
    assert sorted(versions) == list(range(1, len(versions) + 1))
    assert set(acknowledged) <= set(versions)
    assert len(acknowledged) == len(set(acknowledged))
    for entry in versions.values():
        registry._file(entry)


def test_an_interrupted_push_leaves_the_registry_as_it_was(
    folder_registry: Open, tmp_path: Path, kv_prompt: PromptFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_registry().push("team", variant(kv_prompt), None)
    link = os.link

    def interrupted(source: Any, target: Any) -> None:
        if str(target).endswith(".json"):
            raise KeyboardInterrupt
        link(source, target)

    second = variant(kv_prompt, name="second")
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", interrupted)
        with pytest.raises(KeyboardInterrupt):
            folder_registry().push("team", second, None)
    assert folder_registry().newest("team") == 1
    assert not list((tmp_path / "registry").rglob("*.tmp"))
    assert folder_registry().push("team", second, None) == 2


def test_what_others_damaged_is_refused(
    folder_registry: Open, tmp_path: Path, kv_prompt: PromptFile
) -> None:
    """Changed, missing, of another size, or not an entry at all: nothing of it is believed."""
    model = kv_prompt.manifest.model
    folder_registry().push("team", variant(kv_prompt), None)
    folder_registry().push("team", variant(kv_prompt, name="b"), None)
    versions = tmp_path / "registry" / "versions" / "team"
    (versions / "00000002.json").write_text("{}")
    assert folder_registry().pull("team", model).version == 1
    (versions / "00000003.json").write_text('{"format": 1, "sha256": "../../x"}')
    assert folder_registry().pull("team", model).version == 1
    (file,) = [
        path
        for path in (tmp_path / "registry" / "objects").iterdir()
        if path.read_bytes() == variant(kv_prompt)
    ]
    good = file.read_bytes()
    file.write_bytes(good[:-1] + b"x")
    with pytest.raises(RegistryError, match="was changed in"):
        folder_registry().pull("team", model)
    file.write_bytes(good + b"x" * 100)
    with pytest.raises(RegistryError, match="larger than"):
        folder_registry().pull("team", model)
    file.unlink()
    with pytest.raises(RegistryError, match="is missing from"):
        folder_registry().pull("team", model)


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a b", "x" * 65, "é"])
def test_names_that_cannot_be(folder_registry: Open, name: str, kv_prompt: PromptFile) -> None:
    with pytest.raises(PromptError, match="cannot be a name in a registry"):
        folder_registry().push(name, variant(kv_prompt), None)
    with pytest.raises(PromptError, match="cannot be a name in a registry"):
        folder_registry().pull(name, kv_prompt.manifest.model)


def test_only_prompts_are_pushed(folder_registry: Open, kv_prompt: PromptFile) -> None:
    with pytest.raises(CorruptPrompt, match="The prompt to push"):
        folder_registry().push("team", variant(kv_prompt)[:-1], None)


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "simplecache::http://host/x", "memory://x", "python://x", "a\nb"]
)
def test_addresses_that_are_refused(url: str) -> None:
    """Only storage that is known to create without overwriting, or that is only read."""
    with pytest.raises(RegistryError):
        open_files(url, Path())


def test_git_cannot_be_made_to_run_commands(tmp_path: Path) -> None:
    """git's own transports that run what the address says stay shut."""
    for url in (f"git+ext::touch {tmp_path}/run", f"git+--upload-pack=touch {tmp_path}/run"):
        with pytest.raises(RegistryError):
            open_files(url.replace("git+", "git+x://", 1), tmp_path)
        from prompts.registry.git import GitFiles

        with pytest.raises(RegistryError):
            GitFiles(url.removeprefix("git+"))
    assert not (tmp_path / "run").exists()


def test_git_leaves_nothing_else_alone(git_registry: Open, tmp_path: Path) -> None:
    """A repository with other files keeps them, and links in it lead nowhere."""
    work = tmp_path / "work"
    remote = tmp_path / "remote.git"
    git = ["git", "-C", str(work)]
    subprocess.run(["git", "clone", "-q", str(remote), str(work)], check=True)
    (work / "README").write_text("ours\n")
    (work / "versions").symlink_to("/etc")
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "x"], check=True)
    subprocess.run([*git, "push", "-q", "origin", "HEAD"], check=True)
    assert git_registry().newest("team") == 0
    assert git_registry()._files.read("README", 100) == b"ours\n"


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"sha256": "x"},
        {"n_bytes": 0},
        {"n_bytes": True},
        {"n_bytes": 1 << 40},
        {"fingerprints": []},
        {"lineage": ["x"]},
        {"gain": "much"},
        {"proven": 1},
        {"signature": 1},
        {"model_name": "a\u202eb"},
    ],
)
def test_entries_are_checked(change: dict[str, object], kv_prompt: PromptFile) -> None:
    entry = Entry.of(dataclasses.replace(kv_prompt, sha256="ab" * 32), 10, b"s")
    assert Entry.from_json(entry.to_json(), "e") == entry
    broken = json.loads(entry.to_json()) | change
    with pytest.raises(RegistryError, match=r"^e holds"):
        Entry.from_json(json.dumps(broken).encode(), "e")


def test_hub_commits_name_their_parent(kv_prompt: PromptFile, tmp_path: Path) -> None:
    """The Hub's part, with its API played by a class: a commit on an old parent is refused."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    class Api:
        """Keeps files by revision; somebody else commits before the first commit arrives."""

        def __init__(self) -> None:
            self.revisions: list[dict[str, bytes]] = [{}]
            self.interfere = True

        def repo_info(self, repo_id: str, repo_type: str, revision: str) -> Any:
            return type("Info", (), {"sha": str(len(self.revisions) - 1)})

        def file_exists(self, repo_id: str, repo_type: str, filename: str, revision: str) -> bool:
            return filename in self.revisions[int(revision)]

        def create_commit(self, operations: Any, parent_commit: str, **_: Any) -> None:
            if self.interfere:
                self.interfere = False
                self.revisions.append({**self.revisions[-1], "other": b""})
            if int(parent_commit) != len(self.revisions) - 1:
                response = httpx2.Response(
                    412, request=httpx2.Request("POST", "https://example.org")
                )
                raise HfHubHTTPError("moved", response=response)
            added = {added.path_in_repo: added.path_or_fileobj for added in operations}
            self.revisions.append({**self.revisions[-1], **added})

    files = hub_module.HubFiles.__new__(hub_module.HubFiles)
    place = {"repo_id": "o/n", "repo_type": "model", "revision": "main", "path_in_repo": "p"}
    api = Api()
    files._root, files._url = "o/n/p", "hf://o/n/p"
    files._fs = type(
        "Fs", (), {"resolve_path": lambda self, path: type("P", (), place), "_api": api}
    )()
    assert files.create({"a": b"1", "b": b"2"})
    assert api.revisions[-1] == {"other": b"", "p/a": b"1", "p/b": b"2"}
    assert not files.create({"a": b"1", "b": b"3"})
    assert len(api.revisions) == 3


def test_a_folder_without_hard_links(
    tmp_path: Path, kv_prompt: PromptFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can be created exclusively, a push is refused and leaves nothing."""

    def no_links(source: object, target: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(RegistryError, match="Operation not permitted"):
        FolderFiles(tmp_path).create({"objects/a": b"1"})
    assert not list(tmp_path.rglob("*.tmp"))
