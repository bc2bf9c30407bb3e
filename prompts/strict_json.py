"""JSON as prompt files allow it: no duplicate keys, no NaN or Infinity, no deep nesting."""

import json
import math
import re
from typing import NoReturn, TypeAlias

JSON: TypeAlias = bool | int | float | str | list["JSON"] | dict[str, "JSON"] | None

MAX_DEPTH = 16
"""Deepest nesting of arrays and objects; a manifest needs about four levels."""
MAX_DIGITS = 20
"""Longest whole number, sign included; room for any 64-bit seed."""

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
    _check(value, n_around=0)
    return value


def _object(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        # Two readers could each believe another value, so neither may be believed.
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


def _check(value: JSON, n_around: int) -> None:
    """Bound the nesting, and refuse lone surrogates, which no later UTF-8 output could carry."""
    match value:
        case dict() | list() if n_around == MAX_DEPTH:
            raise ValueError(f"JSON nested deeper than {MAX_DEPTH} levels")
        case dict():
            for key, item in value.items():
                _check(key, n_around + 1)
                _check(item, n_around + 1)
        case list():
            for item in value:
                _check(item, n_around + 1)
        case str() if _SURROGATE.search(value):
            raise ValueError("a string with half a UTF-16 surrogate pair")
        case _:
            pass
