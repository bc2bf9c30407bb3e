"""Signatures of prompt files in OpenSSH's SSHSIG form, made and checked by `ssh-keygen -Y`.

A signature stands beside its file, as `FILE.sig`. It is the one that
`ssh-keygen -Y sign -n attune-prompt -f KEY FILE` writes, so git's signing keys serve.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from prompts.atomic_write import replace_file
from prompts.errors import PromptError, PromptWriteError, UntrustedPrompt

NAMESPACE = "attune-prompt"
"""So that a signature of something else, a commit or a letter, never counts for a prompt."""
MAX_SIGNATURE_BYTES = 64 << 10

_GOOD = re.compile(r'Good ".*" signature with \S+ key (SHA256:\S+)')
_TIMEOUT_S = 60


def signature_path(path: Path) -> Path:
    """Where the signature of a file stands."""
    return path.with_name(path.name + ".sig")


def read_signature(path: Path) -> bytes | None:
    """The signature beside the file at `path`, None without one.

    Raises `UntrustedPrompt` if it cannot be read.
    """
    beside = signature_path(path)
    try:
        with beside.open("rb") as stream:
            signature = stream.read(MAX_SIGNATURE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UntrustedPrompt(f"{beside} cannot be read ({error.strerror}).") from error
    if len(signature) > MAX_SIGNATURE_BYTES:
        raise UntrustedPrompt(f"{beside} is not a signature; fetch it again.")
    return signature


def sign(data: bytes, key: Path) -> bytes:
    """The signature of a file's bytes by `key`: a private key, or a public one that an agent holds.

    Raises `PromptWriteError`.
    """
    command = ["-Y", "sign", "-n", NAMESPACE, "-f", str(key)]
    try:
        done = _ssh_keygen(command, data)
    except UntrustedPrompt as error:
        raise PromptWriteError(str(error)) from None
    if done.returncode != 0 or not done.stdout.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        raise PromptWriteError(
            f"ssh-keygen could not sign with {key} ({_last_line(done.stderr)}); "
            "name a key of yours with --key."
        )
    return done.stdout


def git_signing_key() -> Path:
    """The key that git signs commits with: `user.signingKey` of the user's global configuration.

    Raises `PromptWriteError` if git has none that is a file.
    """
    asked = ["git", "config", "--global", "--type=path", "--get", "user.signingKey"]
    try:
        done = subprocess.run(asked, capture_output=True, check=False, timeout=_TIMEOUT_S)
        named = done.stdout.decode("utf-8", "surrogateescape").rstrip("\n")
    except (OSError, subprocess.TimeoutExpired):
        named = ""
    if not named or not Path(named).is_file():
        raise PromptWriteError("git has no SSH key to sign with; name one with --key.")
    return Path(named)


def write_signature(path: Path, signature: bytes | None) -> None:
    """Put the signature beside the file at `path`; None removes what stands there.

    Raises `PromptWriteError`.
    """
    beside = signature_path(path)
    try:
        if signature is None:
            beside.unlink(missing_ok=True)
        else:
            replace_file(beside, signature)
    except OSError as error:
        raise PromptWriteError(
            f"{beside} could not be written ({error.strerror}); check the folder."
        ) from error


def signer_of(data: bytes, signature: bytes, source: str) -> str:
    """The fingerprint, `SHA256:…`, of the key that signed `data`; says nothing about its owner.

    Raises `UntrustedPrompt`, naming `source`, if the signature is not one of these bytes.
    """
    with tempfile.NamedTemporaryFile(suffix=".sig") as file:
        file.write(signature)
        file.flush()
        done = _ssh_keygen(["-Y", "check-novalidate", "-n", NAMESPACE, "-s", file.name], data)
    found = _GOOD.search(done.stdout.decode("utf-8", "replace"))
    if done.returncode != 0 or found is None:
        raise UntrustedPrompt(
            f"{source} was changed after it was signed, or its signature is damaged; "
            "fetch both again, or have it signed again."
        )
    return found[1]


def principal_of(data: bytes, signature: bytes, allowed_signers: Path) -> str | None:
    """Who signed `data`, according to an OpenSSH `allowed_signers` file; None if not listed there.

    Lists that restrict namespaces must allow "attune-prompt"; validity times count as of now.
    Raises `PromptError` without ssh-keygen.
    """
    with tempfile.NamedTemporaryFile(suffix=".sig") as file:
        file.write(signature)
        file.flush()
        listed = ["-s", file.name, "-f", str(allowed_signers)]
        found = _ssh_keygen(["-Y", "find-principals", *listed], data)
        names = found.stdout.decode("utf-8", "replace").splitlines()
        if found.returncode != 0 or not names:
            return None
        verify = ["-Y", "verify", "-n", NAMESPACE, "-I", names[0], *listed]
        return names[0] if _ssh_keygen(verify, data).returncode == 0 else None


def available() -> bool:
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
