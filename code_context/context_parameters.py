"""`ContextConfig` as JSON: the part of a prompt file that says which context it was tuned with.

Files may come from anywhere, so every value is validated. Nothing is filled in from defaults: other
parameters than those of the tuning would give the model a different input.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from code_context.context import ContextConfig
from code_context.snippets import SNIPPET_SOURCES

NAMES = tuple(field.name for field in fields(ContextConfig))
MAX_NAME = 40  # characters of an unknown name that the error message quotes

_adapter = TypeAdapter(ContextConfig)


class ContextParametersError(ValueError):
    """Parameters that cannot be used; the message names the first invalid one and why."""


def to_dict(config: ContextConfig) -> dict[str, Any]:
    """All parameters as JSON values, even where they equal a default; {} if all are defaults."""
    if config == ContextConfig():
        return {}
    parameters: dict[str, Any] = _adapter.dump_python(config, mode="json")
    return parameters


def from_dict(parameters: Mapping[str, Any]) -> ContextConfig:
    """The inverse of `to_dict`.

    Raises `ContextParametersError` if a parameter is missing, unknown or out of its bounds.
    """
    if not parameters:
        return ContextConfig()
    unknown = sorted(parameters.keys() - set(NAMES))
    if unknown:
        raise ContextParametersError(f"the parameter {unknown[0][:MAX_NAME]!r} is unknown")
    missing = [name for name in NAMES if name not in parameters]
    if missing:
        raise ContextParametersError(f"{missing[0]} is missing")
    try:
        # strictly as JSON: Python's strict mode would refuse lists for tuples
        config = _adapter.validate_json(json.dumps(dict(parameters)), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        message = first["msg"]
        raise ContextParametersError(
            f"{first['loc'][0]}: {message[0].lower()}{message[1:]}"
        ) from None
    names = [source for source, _ in config.sources]
    if len(set(names)) < len(names):
        raise ContextParametersError("sources: each source may be named once")
    if sorted(config.order) != sorted(SNIPPET_SOURCES):
        raise ContextParametersError(f"order: name {', '.join(SNIPPET_SOURCES)}, each once")
    return config
