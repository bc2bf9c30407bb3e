"""docs/protocol.md and the extension have the messages, reasons and settings of the code."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from pydantic.alias_generators import to_camel

from completion.reasons import REASONS
from completion.status import Status
from lsp_server import protocol
from lsp_server.sequential_test import AbTestResult
from lsp_server.settings import Settings
from lsp_server.statistics import ArmSummary, Summary

ROOT = Path(__file__).parents[3]
EXTENSION = (ROOT / "vscode-client" / "src" / "protocol.ts").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


MESSAGES = {
    value for name, value in vars(protocol).items() if name.isupper() and isinstance(value, str)
}


def test_every_message_is_on_the_page():
    assert len(MESSAGES) == 10
    assert {name for name in MESSAGES if f"`{name}`" not in PAGE} == set()


def test_extension_uses_messages_of_the_server():
    methods = re.findall(r'(?:Notification|Request)Type<.*?>\(\s*"([^"]+)"', EXTENSION, re.S)
    assert len(methods) == 7
    assert set(methods) < MESSAGES


@pytest.mark.parametrize(
    ("interface", "message"),
    [
        ("Status", Status),
        ("EmptyReason", protocol.EmptyReason),
        ("LatestResult", protocol.LatestResult),
        ("ArmSummary", ArmSummary),
        ("AbTestResult", AbTestResult),
        ("Statistics", Summary),
    ],
)
def test_extension_has_the_fields_of_the_server(interface, message):
    body = re.search(rf"interface {interface} \{{(.*?)\}}", EXTENSION, re.S)[1]
    names = re.findall(r"readonly (\w+)\??:", body)
    assert names == [field.name for field in fields(message)]


def test_every_reason_is_on_the_page_with_its_words():
    part = PAGE.partition("### Reasons")[2].partition("## ")[0]
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", part, re.M)) == REASONS


def test_settings_and_defaults_agree():
    part = PAGE.partition("## Settings")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \|", part, re.M)
    assert rows == [(to_camel(field.name), json.dumps(field.default)) for field in fields(Settings)]
