"""The storage of a registry: a folder, or what fsspec opens; creation never overwrites."""

import os
from pathlib import Path
from typing import Any, Protocol

from file_access.regular_file import read_regular_file
from prompts.atomic_write import create_file
from prompts.errors import RegistryError

EXTRAS = {"s3": "s3", "http": "http", "https": "http", "hf": "hub"}
"""The extra of Attune that a protocol needs."""
CREATING = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az")
"""Object stores with conditional writes in fsspec: of several writers, one creates a name."""
READING = ("http", "https", "hf")


class RegistryFiles(Protocol):
    """Named files that are created and read, and never changed."""

    def read(self, name: str, limit: int) -> bytes | None:
        """The file's bytes, None if there is none. Raises `RegistryError` beyond `limit` bytes."""

    def names(self, folder: str) -> list[str] | None:
        """Names in a folder, empty if it does not exist; None where nothing can be listed."""

    def create(self, files: dict[str, bytes]) -> bool:
        """Create each file that does not exist yet, in order or all at once.

        Returns whether this call created the last one; of several callers, one did. Existing files
        stay. Raises `RegistryError`.
        """


def open_files(url: str, root: Path) -> RegistryFiles:
    """The files of the registry at `url`; a path is relative to `root`. Raises `RegistryError`."""
    if "::" in url or not url.isprintable():
        raise RegistryError(
            f"{url!r} is not an address of a registry; chained addresses are refused."
        )
    protocol, separator, _ = url.partition("://")
    if not separator:
        return FolderFiles(root / os.path.expanduser(url))
    if protocol == "file":
        return FolderFiles(Path(url.removeprefix("file://")))
    if protocol.startswith("git+"):
        from prompts.registry.git import GitFiles

        return GitFiles(url.removeprefix("git+"))
    if protocol == "hf":
        from prompts.registry.hub import HubFiles

        return HubFiles(url)
    if protocol in (*CREATING, *READING):
        return FsspecFiles(url)
    raise RegistryError(
        f"Registries with {protocol}:// are not supported; use a folder, git+https, git+ssh, http,"
        f" https, hf, {', '.join(CREATING)}."
    )


class FolderFiles:
    """A folder, on this machine or mounted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str, limit: int) -> bytes | None:
        """See `RegistryFiles`."""
        try:
            return read_regular_file(self._folder / name, limit)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _error(f"{self._folder}/{name}", "read", error) from error

    def names(self, folder: str) -> list[str] | None:
        """See `RegistryFiles`."""
        try:
            return os.listdir(self._folder / folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _error(f"{self._folder}/{folder}", "read", error) from error

    def create(self, files: dict[str, bytes]) -> bool:
        """See `RegistryFiles`."""
        created = False
        for name, data in files.items():
            path = self._folder / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                create_file(path, data)
                created = True
            except FileExistsError:
                created = False
            except OSError as error:
                raise _error(str(path), "written", error) from error
        return created


class FsspecFiles:
    """A web server, to read from, or an object store."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._protocol = url.partition("://")[0]
        self._fs, self._root = _filesystem(self._url, self._protocol)

    def read(self, name: str, limit: int) -> bytes | None:
        """See `RegistryFiles`."""
        # A block size of 0 streams, so the web server need not support ranges.
        options = {"block_size": 0} if self._protocol in ("http", "https") else {}
        try:
            with self._fs.open(f"{self._root}/{name}", "rb", **options) as stream:
                return _bounded(stream.read(limit + 1), limit, name)
        except FileNotFoundError as error:
            if not _is_absent(error):
                raise _error(f"{self._url}/{name}", "read", error.__cause__ or error) from error
            return None
        except RegistryError:
            raise
        except Exception as error:  # each store has its own errors
            raise _error(f"{self._url}/{name}", "read", error) from error

    def names(self, folder: str) -> list[str] | None:
        """See `RegistryFiles`."""
        if self._protocol in ("http", "https"):
            return None
        try:
            listed = self._fs.ls(f"{self._root}/{folder}", detail=False, refresh=True)
        except FileNotFoundError:
            return []
        except Exception as error:
            raise _error(f"{self._url}/{folder}", "read", error) from error
        return [path.rstrip("/").rpartition("/")[2] for path in listed]

    def create(self, files: dict[str, bytes]) -> bool:
        """See `RegistryFiles`."""
        if self._protocol not in CREATING:
            raise RegistryError(
                f"{self._url} can only be read; push to the storage that it is served from."
            )
        created = False
        for name, data in files.items():
            try:
                self._fs.pipe_file(f"{self._root}/{name}", data, mode="create")
                created = True
            except Exception as error:
                if not _is_conflict(error):
                    raise _error(f"{self._url}/{name}", "written", error) from error
                created = False
        return created


def _filesystem(url: str, protocol: str) -> tuple[Any, str]:
    import fsspec

    try:
        fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
    except ImportError as error:
        extra = EXTRAS.get(protocol)
        advice = f"install attune[{extra}]" if extra else f"install what fsspec needs ({error})"
        raise RegistryError(f"Reading {protocol}:// needs more packages; {advice}.") from None
    except Exception as error:
        raise _error(url, "opened", error) from error
    return fs, str(root).rstrip("/")


def _is_absent(error: FileNotFoundError) -> bool:
    """Whether a file is missing; fsspec raises the same error if a web server does not answer."""
    cause = error.__cause__
    return (
        cause is None
        or isinstance(cause, FileNotFoundError)
        or getattr(cause, "status", None) in (404, 410)
    )


def _is_conflict(error: BaseException) -> bool:
    """Whether a conditional write failed because the name exists or is just being created."""
    if isinstance(error, FileExistsError):
        return True
    cause: BaseException | None = error
    while cause is not None:
        response = getattr(cause, "response", None)
        code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
        status = getattr(cause, "status", None) or getattr(cause, "status_code", None)
        if code in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
            return True
        if status in (409, 412):
            return True
        cause = cause.__cause__
    return False


def _bounded(data: bytes, limit: int, name: str) -> bytes:
    if len(data) > limit:
        raise RegistryError(f"{name} of the registry is larger than allowed; do not use it.")
    return data


def _error(where: str, verb: str, error: BaseException) -> RegistryError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    first = str(reason).splitlines()[0][:300]
    return RegistryError(f"{where} could not be {verb} ({first}); check the address and access.")
