"""Signatures of prompt files in OpenSSH's SSHSIG form, made and checked by `ssh-keygen -Y`.

A signature is stored beside its file, as `FILE.sig`. `ssh-keygen -Y sign -n attune-prompt -f KEY
FILE` writes the same one, so the keys that sign git commits can be used.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from file_access.git import user_path_setting
from file_access.regular_file import read_regular_file
from prompts.atomic_write import replace_file
from prompts.errors import PromptError, PromptWriteError, UntrustedPrompt

NAMESPACE = "attune-prompt"
"""Keeps a signature of something else, such as a commit, from counting for a prompt."""
MAX_SIGNATURE_BYTES = 64 << 10

_GOOD = re.compile(r'Good ".*" signature with \S+ key (SHA256:\S+)')
_TIMEOUT_S = 60


def signature_path(path: Path) -> Path:
    """Where the signature of the file at `path` is stored."""
    return path.with_name(path.name + ".sig")


def read_signature(path: Path) -> bytes | None:
    """The signature beside the file at `path`, None without one.

    Raises `UntrustedPrompt` if it cannot be read.
    """
    file = signature_path(path)
    try:
        return read_regular_file(file, MAX_SIGNATURE_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UntrustedPrompt(
            f"{file} cannot be read ({error.strerror}); fetch the signature again."
        ) from error


def sign(data: bytes, key: Path) -> bytes:
    """Sign a file's bytes with `key`: a private key, or the public half of one in an agent.

    Raises `PromptWriteError`.
    """
    command = ["-Y", "sign", "-n", NAMESPACE, "-f", str(key)]
    try:
        completed = _ssh_keygen(command, data)
    except UntrustedPrompt as error:
        raise PromptWriteError(str(error)) from None
    if completed.returncode != 0 or not completed.stdout.startswith(
        b"-----BEGIN SSH SIGNATURE-----"
    ):
        raise PromptWriteError(
            f"ssh-keygen could not sign with {key} ({_last_line(completed.stderr)}); "
            "name a key of yours with --key."
        )
    return completed.stdout


def git_signing_key() -> Path:
    """The key that git signs commits with: `user.signingKey` of the user's global configuration.

    Raises `PromptWriteError` if it is not set to a file.
    """
    key = user_path_setting("user.signingKey")
    if key is None:
        raise PromptWriteError("git has no SSH key to sign with; name one with --key.")
    return key


def write_signature(path: Path, signature: bytes | None) -> None:
    """Store the signature of the file at `path`; None removes a stored one.

    Raises `PromptWriteError`.
    """
    file = signature_path(path)
    try:
        if signature is None:
            file.unlink(missing_ok=True)
        else:
            replace_file(file, signature)
    except OSError as error:
        raise PromptWriteError(
            f"{file} could not be written ({error.strerror}); check the folder."
        ) from error


def signer_of(data: bytes, signature: bytes, source: str) -> str:
    """The fingerprint, `SHA256:…`, of the key that signed `data`, whoever owns the key.

    Raises `UntrustedPrompt`, naming `source`, if the signature is not of these bytes.
    """
    with tempfile.NamedTemporaryFile(suffix=".sig") as file:
        file.write(signature)
        file.flush()
        completed = _ssh_keygen(["-Y", "check-novalidate", "-n", NAMESPACE, "-s", file.name], data)
    match = _GOOD.search(completed.stdout.decode("utf-8", "replace"))
    if completed.returncode != 0 or match is None:
        raise UntrustedPrompt(
            f"{source} was changed after it was signed, or its signature is damaged; "
            "fetch both again, or have it signed again."
        )
    return match[1]


def principal_of(data: bytes, signature: bytes, allowed_signers: Path) -> str | None:
    """Who signed `data` according to an OpenSSH `allowed_signers` file; None if it does not say.

    An entry that restricts namespaces must allow "attune-prompt"; validity is checked as of now.
    Raises `PromptError` without ssh-keygen.
    """
    with tempfile.NamedTemporaryFile(suffix=".sig") as file:
        file.write(signature)
        file.flush()
        files = ["-s", file.name, "-f", str(allowed_signers)]
        completed = _ssh_keygen(["-Y", "find-principals", *files], data)
        names = completed.stdout.decode("utf-8", "replace").splitlines()
        if completed.returncode != 0 or not names:
            return None
        verify = ["-Y", "verify", "-n", NAMESPACE, "-I", names[0], *files]
        return names[0] if _ssh_keygen(verify, data).returncode == 0 else None


def is_available() -> bool:
    """Whether ssh-keygen is installed."""
    return shutil.which("ssh-keygen") is not None


def _ssh_keygen(arguments: list[str], data: bytes) -> "subprocess.CompletedProcess[bytes]":
    program = shutil.which("ssh-keygen")
    if program is None:
        raise UntrustedPrompt(
            "Signatures need ssh-keygen, which is not installed; install OpenSSH's client."
        )
    try:
        return subprocess.run(
            [program, *arguments], input=data, capture_output=True, check=False, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PromptError(f"ssh-keygen did not run ({error}); try again.") from error


def _last_line(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "no reason given"
