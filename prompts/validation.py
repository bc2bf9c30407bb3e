"""Validation of data from outside, by pydantic: strict types, and one sentence for a broken rule.

Data comes from JSON or TOML, so lists become tuples and objects become dataclasses; texts, numbers
and truth values are never converted. Long lists need `fail_fast`, or pydantic collects an error for
each item.
"""

import re
from collections.abc import Callable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, StrictStr, TypeAdapter, ValidationError

T = TypeVar("T")

_MAX_KEY = 40
_MUST = {
    "missing": "is missing",
    "unexpected_keyword_argument": "is not a known key",
    "dataclass_type": "must be an object",
    "dict_type": "must be an object",
    "tuple_type": "must be a list",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "float_type": "must be a number",
}
"""Sentences for pydantic's error types, without the names of Python's types."""


class InvalidDataError(ValueError):
    """A broken rule, for example "model.num_layers must be a whole number".

    `field` is the dotted name; it is empty if the value as a whole breaks the rule.
    """

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field} {rule}".strip())
        self.field = field


def validate(adapter: TypeAdapter[T], value: object) -> T:
    """Return `value` as the adapter's type. Raises `InvalidDataError` for the first broken rule."""
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(_key(part) for part in first["loc"])
    raise InvalidDataError(field, _MUST.get(first["type"]) or _rule(first["msg"]))


def _key(part: int | str) -> str:
    """A part of a field's name; a key that could break the line is quoted."""
    text = str(part)[:_MAX_KEY]
    return text if text.isidentifier() or text.isdecimal() else repr(text)


def _rule(message: str) -> str:
    message = message.removeprefix("Value error, ").replace(" after validation", "")
    return re.sub(r"^\w+ should ", "must ", message)


def text_rule(accepts: Callable[[str], object], words: str) -> AfterValidator:
    """The rule that `accepts` a text; `words` say what the text must be."""

    def check(text: str) -> str:
        if not accepts(text):
            raise ValueError(f"must be {words}")
        return text

    return AfterValidator(check)


def is_line(text: str) -> bool:
    """Whether `text` is a line of the format: short, printable, without space at its ends."""
    # isprintable refuses control, line-break and direction-changing characters alike.
    return 0 < len(text) <= 256 and text.isprintable() and text == text.strip()


def is_label(text: str) -> bool:
    """Whether `text` is a label of the format: a line that cannot spell a path."""
    # Names end up in paths, so a hostile file must not be able to spell one.
    return is_line(text) and not set(text) & set("/\\") and text not in (".", "..")


_LABEL = "1 to 256 printable characters without / or \\"

Line = Annotated[StrictStr, text_rule(is_line, "1 to 256 printable characters")]
Label = Annotated[StrictStr, text_rule(is_label, _LABEL)]
LabelOrEmpty = Annotated[
    StrictStr, text_rule(lambda text: not text or is_label(text), f"empty or {_LABEL}")
]
Sha256 = Annotated[
    StrictStr, text_rule(re.compile(r"[0-9a-f]{64}").fullmatch, "64 lower-case hex digits")
]
