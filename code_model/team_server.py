"""A team server as a user names it: its address, where its key comes from, how long to wait for it.

Code is sent only to an address that stands in the user's own `models.toml`. Imports nothing heavy.
"""

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import StrictStr

from prompts.validation import text_rule

MAX_URL = 2048
TIMEOUT_MS = 1000
"""The longest that an editor waits for an answer of a team server, if the user says nothing."""

KEY_RULE = "env:VARIABLE or keyring:NAME"
KEYRING_SERVICE = "attune"
"""The service under which a keyring holds the keys of team servers."""

_KEY = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,127}|keyring:[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
URL_RULE = "an https address (or http on this machine) without user, password, query and fragment"


def is_server_url(text: str) -> bool:
    """Whether code may be sent to this address: encrypted, or within this machine."""
    if len(text) > MAX_URL or not text.isprintable() or text != text.strip():
        return False
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port  # the port raises if it is none
    except ValueError:
        return False
    if not host or "@" in parts.netloc or parts.query or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_this_machine(host))


def is_this_machine(host: str) -> bool:
    """Whether a host name or address is the loopback interface."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_key_source(text: str) -> bool:
    """Whether a text says where a key comes from."""
    return _KEY.fullmatch(text) is not None


ServerUrl = Annotated[StrictStr, text_rule(is_server_url, URL_RULE)]
KeySource = Annotated[StrictStr, text_rule(is_key_source, KEY_RULE)]


class MissingKeyError(Exception):
    """The key of a server is not where the user said; the message says where it was looked for."""


def read_key(source: str | None) -> str | None:
    """The key of a server; None if it needs none. Raises `MissingKeyError`.

    `env:NAME` is an environment variable, `keyring:NAME` an entry of the system's keyring.
    """
    if source is None:
        return None
    kind, _, name = source.partition(":")
    if kind == "env":
        key = os.environ.get(name)
        if not key:
            raise MissingKeyError(f"the environment variable {name}, its key, is not set")
    else:
        key = _from_keyring(name)
    if not key.isascii() or not key.isprintable() or " " in key:
        raise MissingKeyError(f"{source} holds no key, which is one word of ASCII characters")
    return key


def _from_keyring(name: str) -> str:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise MissingKeyError(
            "the package keyring is not installed; install it with `pip install 'attune[team]'`"
        ) from None
    try:
        key = keyring.get_password(KEYRING_SERVICE, name)
    except KeyringError as error:
        raise MissingKeyError(f"the keyring gives no key ({type(error).__name__})") from None
    if not key:
        raise MissingKeyError(
            f"the keyring holds no key {name}; store it with `keyring set {KEYRING_SERVICE} {name}`"
        )
    return str(key)


@dataclass(frozen=True)
class TeamServer:
    """A vLLM server that computes a model.

    `key` names the source of its key. `precision` is torch's name of what it computes in,
    `positions` what it has for one request, and `kv_prompts` says whether it has Attune's KV
    connector, all as it stated them when the user joined it. `timeout_s` is how long an editor
    waits for an answer, `fallback_name` what the user calls the model that answers otherwise.
    """

    url: str
    key: str | None = None
    precision: str = "float32"
    positions: int | None = None
    timeout_s: float = TIMEOUT_MS / 1000
    kv_prompts: bool = False
    fallback_name: str | None = None

    @property
    def host(self) -> str:
        """For people: host and port."""
        return urlsplit(self.url).netloc


KV_PROMPTS = "attune:prompts:kv"
"""The name under which a server offers its model if it has Attune's KV connector."""


def served_name(kind: str, fingerprint: str) -> str:
    """A name under which a server offers its model: the kind of a fingerprint, and its digits.

    vLLM answers to several names and refuses all others, so a request that names the model's
    fingerprint is never computed by another model.
    """
    return f"attune:{kind}:{fingerprint}"
