"""Who is trusted to hand over behaviour: consents by signer, and by file where nobody signed."""

import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from prompts import strict_json
from prompts.atomic_write import replace_file
from prompts.errors import PromptError, PromptWriteError, UntrustedPrompt
from prompts.signature import available, principal_of, read_signature, signer_of
from prompts.user import user_folder

FILE_NAME = "trust.json"
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Standing:
    """How a prompt file stands with the user.

    `signer` is the fingerprint of the signing key, None without a signature; `principal` is the
    name that the user's own `allowed_signers` file gives it.
    """

    signer: str | None
    principal: str | None
    consented: bool

    @property
    def words(self) -> str:
        """For people: who signed, and whether that counts."""
        if self.signer is None:
            by = "not signed"
        elif self.principal is not None:
            by = f"signed by {self.principal} ({self.signer})"
        else:
            by = f"signed with key {self.signer}"
        return f"{by}, {'trusted' if self.consented else 'not trusted here'}"


def consents_path() -> Path:
    """The file that holds the user's consents."""
    return user_folder() / FILE_NAME


def standing(data: bytes, sha256: str, signature: bytes | None, source: str) -> Standing:
    """How a file with these bytes, this digest and this signature stands; errors name `source`.

    A key is trusted when the user consented to it once, or when the `allowed_signers` file of the
    user's global git configuration (`gpg.ssh.allowedSignersFile`) lists it. An unsigned file is
    trusted when the user consented to exactly these bytes.

    Raises `UntrustedPrompt` if there is a signature and it is not one of these bytes.
    """
    consents = _consents()
    if signature is None:
        return Standing(None, None, sha256 in consents["files"])
    signer = signer_of(data, signature, source)
    listed = _allowed_signers()
    principal = None if listed is None else principal_of(data, signature, listed)
    trusted = principal is not None or signer in consents["signers"] or sha256 in consents["files"]
    return Standing(signer, principal, trusted)


def check_serving(path: Path, sha256: str, *, trusted: bool) -> None:
    """Return if the prompt file at `path`, read with this digest, may serve.

    In a workspace that the user trusts, everything may, but for a file that is not what was signed.
    In another one, only what the user consented to.

    Raises `UntrustedPrompt`.
    """
    signature = read_signature(path)
    if trusted and (signature is None or not available()):
        return
    if signature is None:
        found = Standing(None, None, sha256 in _consents()["files"])
    else:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise UntrustedPrompt(f"{path} was replaced while it was checked; try again.")
        found = standing(data, sha256, signature, str(path))
    if not trusted and not found.consented:
        raise UntrustedPrompt(
            f"{path} does not serve, because this workspace is not trusted and the file is"
            f" {found.words}; look at it with `attune prompt inspect`, then consent with"
            " `attune prompt trust`."
        )


def consent(prompt_name: str, sha256: str, found: Standing) -> None:
    """Remember that the user trusts the signer of a file, or without one, the file itself.

    Raises `PromptWriteError`.
    """
    consents = _consents()
    if found.signer is None:
        consents["files"][sha256] = prompt_name
    else:
        consents["signers"][found.signer] = found.principal or prompt_name
    path = consents_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(consents, indent=2, sort_keys=True).encode())
    except OSError as error:
        raise PromptWriteError(f"{path} could not be written ({error.strerror}).") from error


def _consents() -> dict[str, dict[str, str]]:
    path = consents_path()
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return {"signers": {}, "files": {}}
    except OSError as error:
        raise PromptError(f"{path} cannot be read ({error.strerror}).") from error
    try:
        read = strict_json.parse(data.decode("utf-8"))
    except ValueError:
        read = None
    found: dict[str, dict[str, str]] = {}
    for kind in ("signers", "files"):
        names = read.get(kind) if isinstance(read, dict) else None
        if not isinstance(names, dict):
            raise PromptError(f"{path} is damaged; correct it, or remove it and consent again.")
        found[kind] = {key: str(name) for key, name in names.items()}
    return found


def _allowed_signers() -> Path | None:
    """Of the user's own git configuration, never of a repository's."""
    asked = ["git", "config", "--global", "--type=path", "--get", "gpg.ssh.allowedSignersFile"]
    try:
        done = subprocess.run(asked, capture_output=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    named = done.stdout.decode("utf-8", "surrogateescape").rstrip("\n")
    return Path(named) if done.returncode == 0 and named and Path(named).is_file() else None
