"""Where the key of a team server comes from, and what is no key."""

import sys
from types import ModuleType

import pytest

from code_model.team_server import KEYRING_SERVICE, MissingKeyError, is_key_source, read_key


class Keyring(ModuleType):
    """The package keyring with one entry."""

    def __init__(self) -> None:
        super().__init__("keyring")
        self.entries = {(KEYRING_SERVICE, "team"): "sesame"}

    def get_password(self, service: str, name: str) -> str | None:
        return self.entries.get((service, name))


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> Keyring:
    errors = ModuleType("keyring.errors")
    errors.KeyringError = type("KeyringError", (Exception,), {})  # type: ignore[attr-defined]
    keyring = Keyring()
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    return keyring


def test_a_key_of_the_keyring(keyring: Keyring) -> None:
    assert read_key("keyring:team") == "sesame"
    with pytest.raises(MissingKeyError, match="keyring set attune other"):
        read_key("keyring:other")


def test_a_keyring_that_is_locked(keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    error = sys.modules["keyring.errors"].KeyringError

    def locked(service: str, name: str) -> str:
        raise error("sesame is locked")

    monkeypatch.setattr(keyring, "get_password", locked)
    with pytest.raises(MissingKeyError) as raised:
        read_key("keyring:team")
    assert "sesame" not in str(raised.value)


def test_a_keyring_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(MissingKeyError, match=r"attune\[team\]"):
        read_key("keyring:team")


@pytest.mark.parametrize("content", ["two words", "line\nbreak", "schlüssel"])
def test_what_is_no_key_is_not_sent(content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_KEY", content)
    with pytest.raises(MissingKeyError, match="holds no key") as raised:
        read_key("env:TEAM_KEY")
    assert content not in str(raised.value)


def test_a_source_is_no_key() -> None:
    assert read_key(None) is None
    assert is_key_source("env:TEAM_KEY")
    assert is_key_source("keyring:team.example")
    for text in ("sk-1234", "env:", "env:A B", "keyring:", "file:/etc/passwd", "env:A\n"):
        assert not is_key_source(text)
