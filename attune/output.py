"""What every command prints: sentences on stderr, JSON alone on stdout; and the exit codes."""

import json
import sys
from typing import Annotated, Any

import typer

Json = Annotated[
    bool, typer.Option("--json", help="Print JSON on stdout: the result, or an error with a code.")
]

PROBLEM, BAD_INPUT, INTERNAL_ERROR = 1, 2, 70  # 70 is EX_SOFTWARE of sysexits.h
INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON document on stdout."""
    print(json.dumps(value, indent=2, sort_keys=True, allow_nan=False))  # noqa: T201


def say(sentence: str) -> None:
    """Print one sentence on stderr."""
    print(f"attune: {sentence}", file=sys.stderr)  # noqa: T201
