"""A prompt file is exactly what was written: the manifest binds the numbers."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.errors import CorruptPrompt, PromptError
from prompts.file import SUFFIX, PromptFile, encode_prompt, parse_prompt, read_prompt
from tuning import controls

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
FILES = [ARTIFACTS / f"v3-{name}{SUFFIX}" for name in ("kv", "embedding", "full")]


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_flipped_bit_is_accepted(path: Path) -> None:
    """Every bit of the file, one after the other."""
    data = path.read_bytes()
    parse_prompt(data, "whole")
    for bit in range(8 * len(data)):
        with pytest.raises(PromptError):
            parse_prompt(flipped(data, bit), "flipped")


@given(st.data())
def test_no_changed_bytes_are_accepted(data: st.DataObject) -> None:
    whole = FILES[0].read_bytes()
    start = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(start + 1, min(len(whole), start + 16)))
    piece = data.draw(st.binary(min_size=end - start, max_size=end - start))
    if piece != whole[start:end]:
        with pytest.raises(PromptError):
            parse_prompt(whole[:start] + piece + whole[end:], "changed")


def test_numbers_of_another_prompt_are_refused(kv_prompt: PromptFile) -> None:
    """A proof must not stand in front of numbers that were never measured."""
    proven = encode_prompt(kv_prompt)
    other = encode_prompt(replace(kv_prompt, embeddings=kv_prompt.embeddings + 1))
    n_bytes = kv_prompt.embeddings.nbytes
    with pytest.raises(CorruptPrompt, match="was changed"):
        parse_prompt(proven[:-n_bytes] + other[-n_bytes:], "exchanged")


def test_a_digest_counts_in_older_versions_too(kv_prompt: PromptFile) -> None:
    """Else one changed digit of the version would switch the check off."""
    data = encode_prompt(kv_prompt)
    older = data.replace(b'\\"format_version\\":3', b'\\"format_version\\":1')
    assert older != data
    with pytest.raises(CorruptPrompt, match="was changed"):
        parse_prompt(older, "older")


def test_the_shipped_controls_are_bound() -> None:
    prompts = [read_prompt(path) for path in controls.FOLDER.glob(f"*{SUFFIX}")]
    assert [prompt.format_version for prompt in prompts] == [3, 3, 3]
