"""The forms of a soft prompt: what the rows of its tensor hold."""

from collections.abc import Mapping
from typing import Literal

Form = Literal["kv-nope", "kv", "embedding"]
FORMS: Mapping[int, tuple[Form, ...]] = {
    1: ("kv", "embedding"),
    2: ("kv-nope",),
    3: ("kv-nope", "kv", "embedding"),
}
"""The forms of each format version: a reader of version 1 must not take one form for another."""
