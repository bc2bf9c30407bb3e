"""Signatures and consents: what may serve, and that a changed file never does."""

import dataclasses
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from prompts import signature, trust
from prompts.errors import PromptError, PromptWriteError, UntrustedPrompt
from prompts.file import DEFAULT_PROMPT, PromptFile, write_prompt
from prompts.router import PromptRouter
from prompts.signature import read_signature, sign, signature_path, signer_of, write_signature
from prompts.trust import Trust, consent, consents_path, trust_of

DATA = b"the bytes of a file"
SHA = "ab" * 32


@pytest.fixture(autouse=True)
def _no_git_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))


@pytest.fixture
def file(tmp_path: Path, kv_prompt: PromptFile) -> Path:
    """A repository's proven prompt."""
    path = tmp_path / DEFAULT_PROMPT
    path.parent.mkdir()
    write_prompt(path, kv_prompt)
    return path


def test_the_signature_is_openssh_s(key: Path, tmp_path: Path) -> None:
    """ssh-keygen itself, called as a person would, accepts it."""
    made = sign(DATA, key)
    (tmp_path / "f.sig").write_bytes(made)
    (tmp_path / "allowed").write_text(f"alice@example.org {key.with_suffix('.pub').read_text()}")
    verify = ["ssh-keygen", "-Y", "verify", "-n", "attune-prompt", "-I", "alice@example.org"]
    files = ["-s", str(tmp_path / "f.sig"), "-f", str(tmp_path / "allowed")]
    subprocess.run([*verify, *files], input=DATA, check=True, capture_output=True)
    fingerprint = subprocess.run(
        ["ssh-keygen", "-lf", str(key)], check=True, capture_output=True, text=True
    ).stdout.split()[1]
    assert signer_of(DATA, made, "f") == fingerprint


@pytest.mark.parametrize("broken", ["data", "signature", "namespace", "nonsense"])
def test_a_signature_of_something_else(key: Path, broken: str) -> None:
    made, data = sign(DATA, key), DATA
    if broken == "data":
        data += b"!"
    elif broken == "signature":
        made = made.replace(b"A", b"B", 1)
    elif broken == "namespace":
        command = ["ssh-keygen", "-Y", "sign", "-n", "git", "-f", str(key)]
        made = subprocess.run(command, input=DATA, capture_output=True, check=True).stdout
    else:
        made = b"nonsense"
    with pytest.raises(UntrustedPrompt, match="changed after it was signed"):
        signer_of(data, made, "f")


def test_sign_with_a_key_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(PromptWriteError, match=r"could not sign.*name a key"):
        sign(DATA, tmp_path / "absent")


def test_without_ssh_keygen(
    file: Path, key: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A clear sentence; in a trusted workspace nothing changes."""
    write_signature(file, sign(file.read_bytes(), key))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(PromptWriteError, match="ssh-keygen, which is not installed"):
        sign(DATA, key)
    assert PromptRouter(tmp_path).choose("a.py").prompt is not None
    choice = PromptRouter(tmp_path, trusted=False).choose("a.py")
    assert choice.prompt is None
    assert "ssh-keygen, which is not installed" in choice.problems[0]


def test_an_unsigned_file_needs_consent_for_its_bytes(file: Path, kv_prompt: PromptFile) -> None:
    """In a workspace that is not trusted; another file at its place needs another consent."""
    prompts = PromptRouter(file.parents[1], trusted=False)
    choice = prompts.choose("a.py")
    assert choice.prompt is None
    assert "this workspace is not trusted and the file is not signed" in choice.problems[0]
    consent("example", read_sha(file), Trust(None, None, False))
    good = prompts.choose("a.py")
    assert good.prompt is not None
    assert good.problems == ()
    manifest = dataclasses.replace(kv_prompt.manifest, commit=None)
    write_prompt(file, dataclasses.replace(kv_prompt, manifest=manifest))
    changed = prompts.choose("a.py")
    assert changed.prompt is good.prompt, "the one that was consented to keeps serving"
    assert len(changed.problems) == 1
    assert PromptRouter(file.parents[1]).choose("a.py").prompt is not None


def read_sha(path: Path) -> str:
    from prompts.file import sha256_of

    return sha256_of(path)


def test_consent_counts_for_everything_of_a_signer(
    file: Path, key: Path, kv_prompt: PromptFile
) -> None:
    """Once per signer: the next file of the same key serves at once."""
    prompts = PromptRouter(file.parents[1], trusted=False)
    write_signature(file, sign(file.read_bytes(), key))
    assert "signed with key SHA256:" in prompts.choose("a.py").problems[0]
    made = read_signature(file)
    assert made is not None
    result = trust_of(file.read_bytes(), read_sha(file), made, "f")
    assert not result.trusted
    consent("example", read_sha(file), result)
    assert prompts.choose("a.py").problems == ()
    manifest = dataclasses.replace(kv_prompt.manifest, name="next")
    write_prompt(file, dataclasses.replace(kv_prompt, manifest=manifest))
    write_signature(file, sign(file.read_bytes(), key))
    choice = prompts.choose("a.py")
    assert choice.prompt is not None
    assert (choice.prompt.manifest.name, choice.problems) == ("next", ())


@pytest.mark.parametrize("trusted", [True, False])
def test_a_file_changed_after_signing_never_serves(
    file: Path, key: Path, kv_prompt: PromptFile, *, trusted: bool
) -> None:
    write_signature(file, sign(file.read_bytes(), key))
    manifest = dataclasses.replace(kv_prompt.manifest, name="changed")
    write_prompt(file, dataclasses.replace(kv_prompt, manifest=manifest))
    choice = PromptRouter(file.parents[1], trusted=trusted).choose("a.py")
    assert choice.prompt is None
    assert "was changed after it was signed" in choice.problems[0]
    write_signature(file, None)
    assert not signature_path(file).exists()


ALLOWED: dict[str, tuple[Callable[[str], str], bool]] = {
    "listed": (lambda public: f"alice@example.org {public}", True),
    "for another namespace": (lambda public: f'alice@x namespaces="git" {public}', False),
    "expired": (lambda public: f'alice@x valid-before="20200101" {public}', False),
    "not listed": (lambda public: "", False),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_allowed_signers_of_the_users_git(
    file: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """The list that verifies a team's commits verifies its prompts."""
    line, accepted = ALLOWED[case]
    allowed = tmp_path / "allowed signers"
    allowed.write_text(line(key.with_suffix(".pub").read_text()))
    (tmp_path / "gitconfig").write_text(f'[gpg "ssh"]\n\tallowedSignersFile = "{allowed}"\n')
    data = file.read_bytes()
    result = trust_of(data, read_sha(file), sign(data, key), "f")
    assert result.trusted == accepted
    assert result.principal == ("alice@example.org" if accepted else None)
    assert result.words.endswith("trusted" if accepted else "not trusted here")


def test_damaged_consents_are_told(file: Path) -> None:
    """They are never overwritten, and nothing counts as consented."""
    consents_path().write_text("{")
    with pytest.raises(PromptError, match=r"trust.json is damaged"):
        consent("example", SHA, Trust(None, None, False))
    choice = PromptRouter(file.parents[1], trusted=False).choose("a.py")
    assert choice.prompt is None
    assert "is damaged" in choice.problems[0]


def test_a_file_that_vanishes_while_it_is_checked(
    file: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prompt that was read before keeps serving, and nothing but a sentence is reported."""
    prompts = PromptRouter(file.parents[1])
    good = prompts.choose("a.py").prompt
    write_signature(file, sign(file.read_bytes(), key))

    def vanished(path: Path, max_bytes: int) -> bytes:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("prompts.trust.read_regular_file", vanished)
    result = prompts.choose("a.py")
    assert result.prompt is good
    assert "was replaced while it was checked" in result.problems[0]


def test_an_unreadable_signature(file: Path) -> None:
    signature_path(file).mkdir()
    with pytest.raises(UntrustedPrompt, match="cannot be read"):
        read_signature(file)
    signature_path(file).rmdir()
    signature_path(file).write_bytes(b"x" * (signature.MAX_SIGNATURE_BYTES + 1))
    with pytest.raises(UntrustedPrompt, match="larger than"):
        trust.check_serving(file, SHA, trusted=True)
