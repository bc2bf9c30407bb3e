"""docs/protocol.md names what the code has, no more and no less."""

import json
import re
from dataclasses import fields
from pathlib import Path

from completion import cache, filters
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
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", part, re.M)) == protocol.REASONS


def test_every_reason_that_the_code_gives_has_words():
    given = re.compile(
        r'(?:Completion(?:Result)?\("", (?:[^)]*?, )?|kept, reason = "", |reason=|Kind.NONE, )'
        r'"(\w+)"'
    )
    sources = [one for room in ("lsp_server", "completion", "code_context") for one in
               (ROOT / room).glob("*.py")]  # fmt: skip
    found = {code for one in sources for code in given.findall(one.read_text(encoding="utf-8"))}
    named = {rule.__name__ for rule in filters.RULES} | set(cache.LASTING)
    assert len(found) > 8
    assert found | named == set(protocol.REASONS)


def test_settings_and_defaults_agree():
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \|", PAGE.partition("## Settings")[2], re.M)
    assert rows == [
        (camel_case(field.name), json.dumps(field.default)) for field in fields(Settings)
    ]
