"""What every command says and how: sentences on stderr, JSON alone on stdout, exit codes."""

import json
import sys
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]

PROBLEM, BAD_INPUT, INTERNAL_ERROR = 1, 2, 70  # 70 is EX_SOFTWARE of sysexits.h


def print_json(value: dict[str, Any]) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, indent=2, sort_keys=True, allow_nan=False))  # noqa: T201


def say(sentence: str) -> None:
    """One sentence on stderr."""
    print(f"attune: {sentence}", file=sys.stderr)  # noqa: T201
