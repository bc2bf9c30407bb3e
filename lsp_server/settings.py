"""The settings in a client's `initializationOptions`; a wrong value is replaced and reported."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from code_model.sureness import Sureness

NO_PROMPT = "none"
"""Value of the setting `prompt` for the bare model."""

MAX_COMPARISON_SHARE = 0.5


def _to_path(value: Any) -> Path | None:
    if value is None:
        return None
    if isinstance(value, str) and value and "\0" not in value:
        return Path(value)
    raise ValueError


def _to_name(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and value and "\0" not in value):
        return value
    raise ValueError


ModelName = Annotated[
    str | None, BeforeValidator(_to_name), Field(description="a model's name, a path or null")
]
PromptPath = Annotated[
    Path | None, BeforeValidator(_to_path), Field(description='a path, "none" or null')
]
Flag = Annotated[bool, Field(strict=True, description="true or false")]
Step = Annotated[Sureness, Field(description='"eager", "balanced" or "sure"')]
Share = Annotated[
    float,
    Field(
        strict=True,
        ge=0,
        le=MAX_COMPARISON_SHARE,
        description=f"a number from 0 to {MAX_COMPARISON_SHARE}",
    ),
]


@dataclass(frozen=True)
class Settings:
    """The settings and the only place of their defaults; clients write the names in camel case."""

    __pydantic_config__ = ConfigDict(alias_generator=to_camel, extra="forbid")

    prompt: PromptPath = None
    """Prompt file; a relative path starts at the workspace folder. None: the repository's own."""
    model: ModelName = None
    """Name of one of the user's models, or an absolute path. None: what the repository names, else
    the user's default."""
    enable: Flag = True
    trusted: Flag = True
    """Whether the user trusts the workspace; if not, its prompts serve with consent only."""
    sureness: Step = "balanced"
    """How likely an automatic suggestion must be to be shown."""
    comparison_share: Share = 0.1
    """Share of suggestions that are made without the prompt, for the A/B test."""
    statistics: Flag = True
    """Whether to keep statistics of suggestions."""

    @property
    def without_prompt(self) -> bool:
        """Whether the user wants the bare model."""
        return self.prompt == Path(NO_PROMPT)

    def relative_to(self, folder: Path) -> "Settings":
        """The settings with the absolute path of the prompt, which starts at `folder`."""
        if self.prompt is None or self.without_prompt:
            return self
        return replace(self, prompt=folder / self.prompt)


_ADAPTER = TypeAdapter(Settings)
_EXPECTED = {
    key: schema["description"] for key, schema in _ADAPTER.json_schema()["properties"].items()
}
_FALLBACKS = {to_camel(field.name): field.default for field in fields(Settings)}
_FALLBACKS["trusted"] = False  # not the default: an unreadable value gives no trust


def parse_settings(options: Any) -> tuple[Settings, str | None]:
    """Settings from decoded JSON, and sentences that say what was wrong with it, or None.

    An unknown setting is ignored; a wrong value is replaced by the default, `trusted` by false.
    """
    if options is None:
        return Settings(), None
    if not isinstance(options, Mapping):
        return Settings(), "The settings must be a JSON object; the defaults are used."
    try:
        return _ADAPTER.validate_python(options), None
    except ValidationError as error:
        wrong = {str(detail["loc"][0]) for detail in error.errors()}
    problems = []
    values = {key: value for key, value in options.items() if key not in wrong}
    for key in options:
        if key not in _EXPECTED:
            problems.append(f'There is no setting "{key}".')
        elif key in wrong:
            values[key] = _FALLBACKS[key]
            used = json.dumps(values[key])
            problems.append(f'The setting "{key}" must be {_EXPECTED[key]}; {used} is used.')
    return _ADAPTER.validate_python(values), " ".join(problems)
