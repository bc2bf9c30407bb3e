"""A registry in a git repository: each push of a prompt is one commit, never a forced one."""

import contextlib
import os
import random
import shutil
import subprocess
import tempfile
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

from file_access.git import environment
from prompts.errors import RegistryError

ATTEMPTS = 200
MAX_REFUSED = 5
"""Refused pushes in a row, while the branch does not change, after which pushing stops."""
_TIMEOUT_S = 600


class GitFiles:
    """The files of a branch, read and added without a working tree.

    Nothing in the repository is checked out, so no link is followed and no hook runs. `#BRANCH` at
    the end of the address names another branch than the repository's default.
    """

    def __init__(self, url: str) -> None:
        self._url, _, branch = url.partition("#")
        self._head: str | None = None
        self._folder = tempfile.mkdtemp(prefix="attune-git-")
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._git("init", "--quiet", "--bare")
        self._branch = branch or self._remote_branch()
        self._fetch()

    def read(self, name: str, limit: int) -> bytes | None:
        """See `RegistryFiles`."""
        if self._head is None:
            return None
        parsed = self._git("rev-parse", "--quiet", "--verify", f"{self._head}:{name}", check=False)
        if parsed.returncode != 0:
            return None
        blob = parsed.stdout.decode().strip()
        if int(self._git("cat-file", "-s", blob).stdout) > limit:
            raise RegistryError(f"{name} of the registry is larger than allowed; do not use it.")
        return self._git("cat-file", "blob", blob).stdout

    def names(self, folder: str) -> list[str] | None:
        """See `RegistryFiles`."""
        if self._head is None:
            return []
        listed = self._git("ls-tree", "-z", "--name-only", self._head, f"{folder}/").stdout
        return [os.fsdecode(path).rpartition("/")[2] for path in listed.split(b"\0") if path]

    def create(self, files: dict[str, bytes]) -> bool:
        """See `RegistryFiles`: all in one commit, on top of what others pushed meanwhile."""
        last = list(files)[-1]
        n_refused = 0
        for attempt in range(ATTEMPTS):
            if self._has(last):
                return False
            commit = self._commit({n: data for n, data in files.items() if not self._has(n)})
            target = f"{commit}:refs/heads/{self._branch}"
            pushed = self._git(
                "push", "--quiet", "--porcelain", "--", self._url, target, check=False
            )
            if pushed.returncode == 0:
                self._head = commit
                return True
            # Another writer was first or is just writing; or we may not write at all.
            before = self._head
            self._fetch()
            n_refused = n_refused + 1 if self._head == before else 0
            if n_refused == MAX_REFUSED:
                raise self._error("written", pushed.stderr + pushed.stdout)
            time.sleep(random.uniform(0, 0.05 * (attempt + 1)))
        raise RegistryError(f"{self._url} was changed by others at every attempt; try again.")

    def _has(self, name: str) -> bool:
        return self._head is not None and (
            self._git("cat-file", "-e", f"{self._head}:{name}", check=False).returncode == 0
        )

    def _commit(self, files: dict[str, bytes]) -> str:
        with self._index() as index:
            if self._head is not None:
                self._git("read-tree", self._head, index=index)
            for name, data in files.items():
                blob = self._git("hash-object", "-w", "--stdin", data=data).stdout.decode().strip()
                cached = ("--add", "--cacheinfo", f"100644,{blob},{name}")
                self._git("update-index", *cached, index=index)
            tree = self._git("write-tree", "--missing-ok", index=index).stdout.decode().strip()
        parents = () if self._head is None else ("-p", self._head)
        message = f"Add {list(files)[-1]}"
        return self._git("commit-tree", tree, *parents, "-m", message).stdout.decode().strip()

    def _fetch(self) -> None:
        """Fetch the branch as it is now; a branch that does not exist yet has no files."""
        listed = self._git("ls-remote", "--", self._url, f"refs/heads/{self._branch}").stdout
        self._head = None
        if listed.strip():
            spec = f"refs/heads/{self._branch}"
            self._git("fetch", "--quiet", "--depth=1", "--no-tags", "--", self._url, spec)
            self._head = self._git("rev-parse", "FETCH_HEAD").stdout.decode().strip()

    def _remote_branch(self) -> str:
        listed = self._git("ls-remote", "--symref", "--", self._url, "HEAD").stdout.decode()
        for line in listed.splitlines():
            if line.startswith("ref: refs/heads/"):
                return line.removeprefix("ref: refs/heads/").partition("\t")[0]
        return "main"

    @contextlib.contextmanager
    def _index(self) -> Iterator[str]:
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            yield str(Path(folder) / "index")

    def _git(
        self, *arguments: str, data: bytes = b"", index: str | None = None, check: bool = True
    ) -> "subprocess.CompletedProcess[bytes]":
        variables = {
            **environment(),
            **{name: value for name, value in os.environ.items() if name.startswith(_TRANSPORT)},
            **({} if index is None else {"GIT_INDEX_FILE": index}),
        }
        # Forbid transports that run commands from the address, whatever is configured.
        command = ["git", "-c", "protocol.ext.allow=never", *arguments]
        try:
            completed = subprocess.run(
                command,
                cwd=self._folder,
                env=variables,
                input=data,
                capture_output=True,
                check=False,
                timeout=_TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RegistryError(f"git did not run ({error}); install it, or try again.") from error
        if check and completed.returncode != 0:
            raise self._error("used", completed.stderr)
        return completed

    def _error(self, verb: str, output: bytes) -> RegistryError:
        lines = [line for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
        reason = lines[-1][:300] if lines else "no reason given"
        return RegistryError(
            f"{self._url} could not be {verb} with git ({reason}); check the address and access."
        )


_TRANSPORT = ("GIT_SSH", "GIT_SSL_", "GIT_HTTP_", "GIT_PROXY_", "GIT_ASKPASS", "GIT_ALLOW_PROTOCOL")
"""The user's own settings for reaching a server."""
