"""What a client sets in `initializationOptions`; a wrong value falls back and is told."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

NO_PROMPT = "none"
"""Value of the setting `prompt` for the bare model."""

MAX_COMPARISON_SHARE = 0.5


@dataclass(frozen=True)
class Settings:
    """The defaults stand here only; clients write the names in camel case."""

    prompt: Path | None = None
    """Prompt file; a relative path starts at the workspace folder. None: the repository's own."""
    enable: bool = True
    trusted: bool = True
    """Whether the user trusts the workspace; if not, its prompts serve with consent only."""
    comparison_share: float = 0.1
    """Share of suggestions made without the prompt, to tell what it is worth: 0 to 0.5."""
    statistics: bool = True
    """Count what becomes of suggestions."""

    @property
    def without_prompt(self) -> bool:
        """Whether the user wants the bare model."""
        return self.prompt == Path(NO_PROMPT)


def parse_settings(options: Any) -> tuple[Settings, str | None]:
    """Settings from decoded JSON, and one line about what was wrong with it, None if nothing."""
    if options is None:
        return Settings(), None
    if not isinstance(options, Mapping):
        return Settings(), "The settings must be a JSON object; the defaults are used."
    names = {camel_case(field.name): field for field in fields(Settings)}
    problems = [f'There is no setting "{key}".' for key in options if key not in names]
    values: dict[str, Any] = {}
    for key, field in names.items():
        if key not in options:
            continue
        value, expected = options[key], _expected(field.name, options[key])
        if expected is None:
            values[field.name] = Path(value) if isinstance(value, str) else value
        else:
            # what nobody can read is no trust
            values[field.name] = used = False if field.name == "trusted" else field.default
            problems.append(f'The setting "{key}" must be {expected}; {json.dumps(used)} is used.')
    return Settings(**values), " ".join(problems) or None


def camel_case(name: str) -> str:
    """The name of a setting as clients write it."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _expected(name: str, value: Any) -> str | None:
    """What a value should have been, None if it is that."""
    if name == "prompt":
        is_path = isinstance(value, str) and value != "" and "\0" not in value
        return None if value is None or is_path else 'a path, "none" or null'
    if name == "comparison_share":
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        in_range = is_number and 0 <= value <= MAX_COMPARISON_SHARE
        return None if in_range else f"a number from 0 to {MAX_COMPARISON_SHARE}"
    return None if isinstance(value, bool) else "true or false"
