"""What a client sets in `initializationOptions`; a wrong value falls back and is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Settings:
    """The defaults stand here only."""

    prompt: Path | None = None
    """Prompt file; a relative path starts at the workspace folder. None: the repository's own."""
    enable: bool = True
    trusted: bool = True
    """Whether the user trusts the workspace; if not, its prompts serve with consent only."""


def parse_settings(options: Any) -> tuple[Settings, str | None]:
    """Settings from decoded JSON, and one line about what was wrong with it, None if nothing."""
    if options is None:
        return Settings(), None
    if not isinstance(options, Mapping):
        return Settings(), "The settings must be a JSON object; the defaults are used."
    problems = [
        f'There is no setting "{key}".'
        for key in options
        if key not in ("prompt", "enable", "trusted")
    ]
    prompt = options.get("prompt")
    if prompt is not None and (not isinstance(prompt, str) or not prompt or "\0" in prompt):
        problems.append('The setting "prompt" must be a path or null; null is used.')
        prompt = None
    enable = options.get("enable", Settings.enable)
    if not isinstance(enable, bool):
        problems.append('The setting "enable" must be true or false; true is used.')
        enable = Settings.enable
    trusted = options.get("trusted", Settings.trusted)
    if not isinstance(trusted, bool):
        problems.append('The setting "trusted" must be true or false; false is used.')
        trusted = False
    settings = Settings(
        prompt=None if prompt is None else Path(prompt), enable=enable, trusted=trusted
    )
    return settings, " ".join(problems) or None
