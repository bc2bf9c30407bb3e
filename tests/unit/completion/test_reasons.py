"""The list of reasons is closed: each has a message, and each is used."""

import ast
from pathlib import Path
from typing import get_args

from completion import filters
from completion.reasons import REASONS, Reason

ROOT = Path(__file__).parents[3]


def test_every_reason_has_a_message() -> None:
    assert set(get_args(Reason)) == set(REASONS)


def test_every_filter_is_a_reason_of_its_name() -> None:
    assert {name: rule.__name__ for name, rule in filters.FILTERS.items()} == {
        name: name for name in filters.FILTERS
    }


def test_every_reason_is_given_somewhere() -> None:
    """mypy checks that no other is."""
    files = [
        file
        for package in ("code_context", "completion", "lsp_server")
        for file in (ROOT / package).rglob("*.py")
        if file.name != "reasons.py"
    ]
    constants = {
        node.value
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
    }
    assert set(REASONS) - constants == set()
