"""The words for what a prompt file claims."""

from dataclasses import replace
from typing import Any

import pytest

from prompts.file import PromptFile
from prompts.measured_gain import gain_words

BITS = "saves 10.2 % of the bits of unseen files"


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        ({}, None),
        ({"gain": 0.102}, BITS),
        ({"gain": 0.102, "acceptance": None}, BITS),
        ({"gain": 0.102, "acceptance": {"gain": "much"}}, BITS),
        (
            {"gain": 0.102, "acceptance": {"gain": 0.08, "gain_low": 0.01}},
            "saves 8 % more characters on unseen files",
        ),
        (
            {"gain": 0.102, "acceptance": {"gain": 0.08, "gain_low": -0.01}},
            f"{BITS}, not surely more characters",
        ),
        (
            {"gain": 0.102, "acceptance": {"gain": -0.05, "gain_low": None}},
            f"{BITS}, not surely more characters",
        ),
    ],
)
def test_what_people_see_comes_first(
    kv_prompt: PromptFile, measured: dict[str, Any], words: str | None
) -> None:
    assert gain_words(replace(kv_prompt.manifest, measured=measured)) == words
