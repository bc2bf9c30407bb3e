"""Which prompt files the user trusts: by signer, or by file where there is no signature."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import StrictStr, TypeAdapter

from file_access.git import user_path_setting
from file_access.regular_file import read_regular_file
from prompts import strict_json
from prompts.atomic_write import replace_file
from prompts.errors import PromptError, PromptWriteError, UntrustedPrompt
from prompts.file import MAX_FILE_BYTES
from prompts.signature import is_available, principal_of, read_signature, signer_of
from prompts.user import user_folder
from prompts.validation import validate

FILE_NAME = "trust.json"
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Trust:
    """Whether the user trusts a prompt file, and who signed it.

    `signer` is the fingerprint of the signing key, None without a signature; `principal` is the
    name that the user's own `allowed_signers` file gives it.
    """

    signer: str | None
    principal: str | None
    trusted: bool

    @property
    def words(self) -> str:
        """For people: who signed it, and whether the user trusts it."""
        if self.signer is None:
            by = "not signed"
        elif self.principal is not None:
            by = f"signed by {self.principal} ({self.signer})"
        else:
            by = f"signed with key {self.signer}"
        return f"{by}, {'trusted' if self.trusted else 'not trusted here'}"


def consents_path() -> Path:
    """The file that holds the user's consents."""
    return user_folder() / FILE_NAME


def trust_of(data: bytes, sha256: str, signature: bytes | None, source: str) -> Trust:
    """Whether the user trusts a file with this content, digest and signature.

    A key is trusted when the user consented to it once, or when the `allowed_signers` file of the
    user's global git configuration (`gpg.ssh.allowedSignersFile`) lists it. An unsigned file is
    trusted when the user consented to exactly these bytes.

    Raises `UntrustedPrompt`, naming `source`, if there is a signature and it is not one of these
    bytes.
    """
    consents = _read_consents()
    if signature is None:
        return Trust(None, None, sha256 in consents.files)
    signer = signer_of(data, signature, source)
    # The user's own configuration names the file; a repository's is never read.
    allowed_signers = user_path_setting("gpg.ssh.allowedSignersFile")
    principal = principal_of(data, signature, allowed_signers) if allowed_signers else None
    trusted = principal is not None or signer in consents.signers or sha256 in consents.files
    return Trust(signer, principal, trusted)


def check_serving(path: Path, sha256: str, *, trusted: bool) -> None:
    """Return if the prompt file at `path`, read with this digest, may serve.

    In a workspace that the user trusts, every file may serve, except one that was changed after it
    was signed. In another workspace only files that the user trusts may serve.

    Raises `UntrustedPrompt`.
    """
    signature = read_signature(path)
    if trusted and (signature is None or not is_available()):
        return
    if signature is None:
        trust = Trust(None, None, sha256 in _read_consents().files)
    else:
        try:
            data = read_regular_file(path, MAX_FILE_BYTES)
        except OSError:
            data = b""
        if hashlib.sha256(data).hexdigest() != sha256:
            raise UntrustedPrompt(f"{path} was replaced while it was checked; try again.")
        trust = trust_of(data, sha256, signature, str(path))
    if not trusted and not trust.trusted:
        raise UntrustedPrompt(
            f"{path} does not serve, because this workspace is not trusted and the file is"
            f" {trust.words}; look at it with `attune prompt inspect`, then consent with"
            " `attune prompt trust`."
        )


def consent(prompt_name: str, sha256: str, trust: Trust) -> None:
    """Record that the user trusts the signer of a file or, without a signature, the file itself.

    Raises `PromptWriteError`.
    """
    consents = _read_consents()
    if trust.signer is None:
        consents.files[sha256] = prompt_name
    else:
        consents.signers[trust.signer] = trust.principal or prompt_name
    path = consents_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(asdict(consents), indent=2, sort_keys=True).encode())
    except OSError as error:
        raise PromptWriteError(f"{path} could not be written ({error.strerror}).") from error


@dataclass(frozen=True)
class _Consents:
    """The content of `trust.json`; both map to a name, for people who read the file."""

    signers: dict[StrictStr, StrictStr]
    """By the fingerprint of the signing key."""
    files: dict[StrictStr, StrictStr]
    """By sha256."""


_CONSENTS = TypeAdapter(_Consents)


def _read_consents() -> _Consents:
    """The recorded consents, empty without a file. Raises `PromptError` if it cannot be read."""
    path = consents_path()
    try:
        data = read_regular_file(path, _MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return _Consents({}, {})
    except OSError as error:
        raise PromptError(f"{path} cannot be read ({error.strerror}).") from error
    try:
        return validate(_CONSENTS, strict_json.parse(data.decode("utf-8-sig")))
    except ValueError:
        raise PromptError(
            f"{path} is damaged; correct it, or remove it and consent again."
        ) from None
