"""Download a model from a Hugging Face hub: pinned to a commit, verified by hashes, resumable.

Only what a model needs is downloaded: safetensors or one GGUF file, and JSON. Never code, never
pickled weights. What was downloaded before an interruption is kept for a month, and the next
attempt goes on.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from code_model.language_model import ModelLoadError
from code_model.leftovers import RESUMED_WITHIN, remove_leftovers
from code_model.model_folder import sha256_of
from file_access.regular_file import read_regular_file

ADDRESS: Final = re.compile(
    r"hf://(?P<owner>[A-Za-z0-9][\w.-]*)/(?P<name>[A-Za-z0-9][\w.-]*)"
    r"(?:/(?P<file>(?:[\w.-]+/)*[\w.-]+\.gguf))?(?:@(?P<revision>[\w./-]+))?"
)
SMALL_FILES: Final = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "attune.json",
)  # fmt: skip
"""Files that are taken where they exist; of the weights only those that the index names."""
NEEDED: Final = ("config.json", "tokenizer.json")
INDEX: Final = "model.safetensors.index.json"
WEIGHTS: Final = "model.safetensors"
MAX_INDEX_BYTES: Final = 64 << 20

OnBytes = Callable[[int, int], None]
"""Receives how many bytes are there, and how many there will be."""


class DownloadError(ModelLoadError):
    """A model cannot be downloaded; what is there stays for the next attempt."""


@dataclass(frozen=True)
class HubAddress:
    """`hf://OWNER/NAME[/FILE.gguf][@REVISION]`; a revision is a branch, a tag or a commit."""

    repository: str
    file: str | None
    revision: str


@dataclass(frozen=True)
class HubFile:
    """A file of a repository. `sha256` is set for large files, `git_sha1` for the others."""

    name: str
    size: int
    sha256: str | None
    git_sha1: str | None


@dataclass(frozen=True)
class Download:
    """A model on disk: its folder or GGUF file, and the commit that it is from."""

    path: Path
    commit: str


def parse_address(source: str) -> HubAddress:
    """The parts of an address. Raises `DownloadError`."""
    match = ADDRESS.fullmatch(source)
    if match is None or ".." in source:
        raise DownloadError(
            f"{source!r} is not hf://OWNER/NAME@REVISION; for a GGUF file write "
            "hf://OWNER/NAME/FILE.gguf@REVISION."
        )
    return HubAddress(
        f"{match['owner']}/{match['name']}", match["file"], match["revision"] or "main"
    )


def download(
    address: HubAddress, folder: Path, on_bytes: OnBytes, endpoint: str | None = None
) -> Download:
    """Download a model into a new folder in `folder`, or go on with what is there.

    Without an `endpoint`, the hub is huggingface_hub's: HF_ENDPOINT or huggingface.co, with the
    user's token for it. Another hub gets no token. Raises `DownloadError`.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise DownloadError(
            "Downloading needs huggingface_hub; install it with `pip install 'attune[hub]'`."
        ) from error
    token = None if endpoint is None else False
    api = HfApi(endpoint=endpoint, token=token)
    info = _asked(address, lambda: api.model_info(
        address.repository, revision=address.revision, files_metadata=True
    ))  # fmt: skip
    commit = str(info.sha)
    if re.fullmatch("[0-9a-f]{40}", commit) is None:
        raise DownloadError(f"{address.repository} has no commit {address.revision}; name another.")
    files = {file.name: file for file in map(_hub_file, info.siblings or ())}
    name = address.repository.replace("/", "--") + "-" + commit[:12]
    target, partial = folder / name, folder / f".{name}.partial"
    present = (address.file,) if address.file is not None else NEEDED
    if not all((target / file).is_file() for file in present):
        fetch = _Fetch(address, commit, partial, api.endpoint, token)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / f".{name}.lock", timeout=0):
                remove_leftovers(folder, ".*.partial", RESUMED_WITHIN)
                partial.mkdir(exist_ok=True)
                wanted = fetch.wanted(files)
                fetch.check_space(wanted)
                fetch.all(wanted, on_bytes)
                _move(wanted, partial, target)
        except Timeout as error:
            raise DownloadError(
                f"{address.repository} is being downloaded by another process; wait for it, and "
                "give the same command again."
            ) from error
        except OSError as error:
            raise DownloadError(
                f"{target} could not be written ({error.strerror or error}); free disk space, or "
                "check its permissions."
            ) from error
    return Download(target if address.file is None else target / address.file, commit)


def _move(files: Sequence[HubFile], partial: Path, target: Path) -> None:
    """Move downloaded files to their place, where other files of the commit may be already.

    The files of `NEEDED` go last: where they are, all are.
    """
    if not target.exists():
        partial.rename(target)
        return
    for file in sorted(files, key=lambda file: file.name in NEEDED):
        (target / file.name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(partial / file.name, target / file.name)
    shutil.rmtree(partial, ignore_errors=True)


def _hub_file(sibling: Any) -> HubFile:
    lfs: Any = sibling.lfs or {}
    sha256 = lfs.get("sha256") if isinstance(lfs, Mapping) else getattr(lfs, "sha256", None)
    return HubFile(str(sibling.rfilename), int(sibling.size or 0), sha256, sibling.blob_id)


@dataclass(frozen=True)
class _Fetch:
    """Fetches files of one commit into a folder that an interruption leaves as it is."""

    address: HubAddress
    commit: str
    folder: Path
    endpoint: str
    token: bool | None

    def wanted(self, files: Mapping[str, HubFile]) -> list[HubFile]:
        """The files of the model; the index of the weights is fetched for this."""
        if self.address.file is not None:
            if self.address.file not in files:
                raise self._error(f"has no file {self.address.file}")
            return [files[self.address.file]]
        for name in NEEDED:
            if name not in files:
                raise self._error(f"has no {name}, so it is no model that Attune can load")
        weights = [WEIGHTS]
        if INDEX in files:
            self.one(files[INDEX], lambda count: None)
            weights = [INDEX, *self._indexed_weights()]
        missing = [name for name in weights if name not in files or "/" in name]
        if missing:
            raise self._error(
                f"has no {missing[0]}; weights in other formats than safetensors are not loaded"
            )
        small = [name for name in SMALL_FILES if name in files]
        return [files[name] for name in (*small, *weights)]

    def _indexed_weights(self) -> list[str]:
        """The names of files in the downloaded index of the weights. Raises `DownloadError`."""
        try:
            index = json.loads(read_regular_file(self.folder / INDEX, MAX_INDEX_BYTES))
            return sorted({str(name) for name in index["weight_map"].values()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._error(f"has an {INDEX} that names no weights") from error

    def check_space(self, wanted: list[HubFile]) -> None:
        """Raise `DownloadError` if the disk is too small for what is missing."""
        present = sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())
        needed = sum(file.size for file in wanted) - present
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise self._error(
                f"needs {needed / 1e9:.1f} GB more in {self.folder.parent}, where {free / 1e9:.1f} "
                "GB are free"
            )

    def all(self, wanted: list[HubFile], on_bytes: OnBytes) -> None:
        """Fetch what is missing."""
        total, done = sum(file.size for file in wanted), 0

        def count(new: int) -> None:
            nonlocal done
            done += new
            on_bytes(done, total)

        for file in wanted:
            self.one(file, count)

    def one(self, file: HubFile, count: Callable[[int], None]) -> None:
        """Fetch one file, from where an earlier attempt ended, and verify its hash."""
        target = self.folder / file.name
        if target.is_file():
            count(file.size)
            return
        part = target.with_name(target.name + ".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        _asked(self.address, lambda: self._get(file, part, count))
        actual = _hash_like(file, part)
        if actual != (file.sha256 or file.git_sha1):
            part.unlink()
            raise self._error(f"sent {file.name} with a wrong hash, so it was deleted")
        os.replace(part, target)

    def _get(self, file: HubFile, part: Path, count: Callable[[int], None]) -> None:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        url = hf_hub_url(
            self.address.repository, file.name, revision=self.commit, endpoint=self.endpoint
        )
        with part.open("ab") as stream:
            if (present := stream.tell()) > file.size:
                stream.truncate(0)
                present = 0
            count(present)
            http_get(
                url,
                stream,
                resume_size=present,
                expected_size=file.size,
                headers=build_hf_headers(token=self.token),
                tqdm_class=_progress(count),
            )

    def _error(self, what: str) -> DownloadError:
        return DownloadError(
            f"{self.address.repository} at {self.commit[:12]} {what}; choose another model or "
            "revision."
        )


def _hash_like(file: HubFile, path: Path) -> str:
    """The hash of `path` that the hub states for `file`: SHA-256, or git's SHA-1 of a blob."""
    if file.sha256 is not None:
        return sha256_of(path)
    data = path.read_bytes()
    header = f"blob {len(data)}\0".encode()
    return hashlib.sha1(header + data, usedforsecurity=False).hexdigest()


def _progress(count: Callable[[int], None]) -> Any:
    """A progress bar class, as the library wants it, that shows nothing and counts bytes."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    class Silent(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> bool | None:
            count(int(n or 0))
            return None

    return Silent


def _asked(address: HubAddress, ask: Callable[[], Any]) -> Any:
    """What the hub answers; its many kinds of errors become one sentence."""
    try:
        return ask()
    except Exception as error:  # of the library, of its HTTP client, of the system
        kind = type(error).__name__
        reasons = {
            "RepositoryNotFoundError": "there is no such model, or it needs a token (HF_TOKEN)",
            "RevisionNotFoundError": f"there is no revision {address.revision}",
            "GatedRepoError": "its owner must give you access; then set HF_TOKEN",
        }
        reason = reasons.get(kind) or f"{kind}: {(str(error).splitlines() or [''])[0][:200]}"
        raise DownloadError(
            f"{address.repository} could not be downloaded ({reason}); what is there is kept, so "
            "the same command goes on."
        ) from error
