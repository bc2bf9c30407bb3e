"""docs/protocol.md names what the code has, no more and no less."""

import json
import re
from dataclasses import fields
from pathlib import Path

from completion.reasons import REASONS
from lsp_server import protocol
from lsp_server.settings import Settings, camel_case

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


def test_every_message_is_on_the_page():
    names = [
        value for name, value in vars(protocol).items() if name.isupper() and "/" in str(value)
    ]
    names.append(protocol.DID_ACCEPT)
    assert len(names) > 5
    assert [name for name in names if f"`{name}`" not in PAGE] == []


def test_every_reason_is_on_the_page_with_its_words():
    part = PAGE.partition("### Reasons")[2].partition("## ")[0]
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", part, re.M)) == REASONS


def test_settings_and_defaults_agree():
    part = PAGE.partition("## Settings")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \|", part, re.M)
    assert rows == [
        (camel_case(field.name), json.dumps(field.default)) for field in fields(Settings)
    ]
