"""Strict JSON for data from outside: no duplicate keys, no NaN or Infinity, bounded nesting.

Pydantic's own parser accepts duplicate keys and NaN, so it validates what this one has parsed.
"""

import json
import math
import re
from typing import NoReturn, TypeAlias

JSON: TypeAlias = bool | int | float | str | list["JSON"] | dict[str, "JSON"] | None

MAX_DEPTH = 16
"""Deepest nesting of arrays and objects; a manifest needs about four levels."""
MAX_DIGITS = 20
"""Longest whole number, with its sign; enough for any 64-bit seed."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def parse(text: str) -> JSON:
    """Return the value of `text`.

    Raises `ValueError` with the reason, and nothing else, for text that is not strict JSON.
    """
    try:
        value: JSON = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            parse_int=_short_int,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"invalid JSON ({error.msg} at character {error.pos})") from None
    except RecursionError:
        raise ValueError(f"JSON nested deeper than {MAX_DEPTH} levels") from None
    _check(value, depth=0)
    return value


def _object(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        # Two readers could take different values, so neither is accepted.
        raise ValueError("a duplicate key in a JSON object")
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"the number {name}, which JSON does not have")


def _finite_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number too large for a 64-bit float")
    return number


def _short_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a whole number of more than {MAX_DIGITS} digits")
    return int(digits)


def _check(value: JSON, depth: int) -> None:
    """Check the depth of nesting, and refuse lone surrogates, which UTF-8 cannot encode."""
    match value:
        case dict() | list() if depth == MAX_DEPTH:
            raise ValueError(f"JSON nested deeper than {MAX_DEPTH} levels")
        case dict():
            for key, item in value.items():
                _check(key, depth + 1)
                _check(item, depth + 1)
        case list():
            for item in value:
                _check(item, depth + 1)
        case str() if _SURROGATE.search(value):
            raise ValueError("a string with half a UTF-16 surrogate pair")
        case _:
            pass
