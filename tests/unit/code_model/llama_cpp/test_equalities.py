"""llama.cpp gives what our decoder gives for the same weights, behind every prompt it serves."""

import numpy as np
import pytest
import torch

from code_model.language_model import ScoredIds
from prompts.errors import IncompatiblePrompt
from prompts.file import PromptFile
from prompts.form import Form
from prompts.manifest import Manifest
from tests.unit.code_model.llama_cpp.conftest import Pair

IDS = [7, 3, 250, 14, 9, 9, 31, 102, 44, 5, 17, 300]


def prompt_for(pair: Pair, form: Form, ids: list[int], noise: float = 0.1) -> PromptFile:
    """A prompt that stands for `ids`, and is none of a text's own."""
    rows = pair.decoder.prompt_embeddings_of(ids, form)
    rows = rows + noise * torch.randn(rows.shape, generator=torch.Generator().manual_seed(3))
    manifest = Manifest(
        name="prompt",
        form=form,
        num_virtual_tokens=len(rows),
        model=pair.decoder.identity,
        attune_version="0",
    )
    return PromptFile(manifest, rows.numpy())


def worst_difference(pair: Pair, prompt: PromptFile | None) -> float:
    sequence = ScoredIds(IDS, len(IDS) - 1)
    (ours,) = pair.decoder.open(prompt).score([sequence])
    (theirs,) = pair.llama_cpp.open(prompt).score([sequence])
    assert len(theirs) == len(ours)
    return float(np.abs(np.array(ours) - np.array(theirs)).max())


def test_the_bare_model_is_the_same(pair: Pair) -> None:
    assert worst_difference(pair, None) < pair.tolerance


@pytest.mark.parametrize("form", ["kv", "embedding"])
@pytest.mark.parametrize("tokens", [1, 7, 150])  # more than one batch
def test_a_prompt_counts_the_same(pair: Pair, form: Form, tokens: int) -> None:
    prompt = prompt_for(pair, form, [n % 200 for n in range(5, 5 + tokens)])
    assert worst_difference(pair, prompt) < pair.tolerance
    other = prompt_for(pair, form, [n % 150 for n in range(30, 30 + tokens)])
    (first,) = pair.llama_cpp.open(prompt).score([ScoredIds(IDS, 5)])
    (second,) = pair.llama_cpp.open(other).score([ScoredIds(IDS, 5)])
    assert np.abs(np.array(first) - np.array(second)).max() > 0.05  # it counts at all


@pytest.mark.parametrize("form", [None, "kv", "embedding"])
def test_the_continuation_is_the_same(pair: Pair, form: Form | None) -> None:
    prompt = None if form is None else prompt_for(pair, form, [9, 8, 7, 6, 5])
    ours = pair.decoder.open(prompt).generate(IDS, max_new_tokens=24)
    theirs = pair.llama_cpp.open(prompt).generate(IDS, max_new_tokens=24)
    assert theirs.ids == ours.ids
    assert theirs.text == ours.text
    assert theirs.finish_reason == ours.finish_reason
    # the decoder's compiled step has float16 keys
    assert theirs.logprobs == pytest.approx(ours.logprobs, abs=0.03)


def test_kv_nope_is_refused_with_the_reason(pair: Pair) -> None:
    with pytest.raises(IncompatiblePrompt, match=r"kv-nope: llama\.cpp rotates every"):
        pair.llama_cpp.open(prompt_for(pair, "kv-nope", [1, 2, 3]))
    assert set(pair.llama_cpp.forms) == {"kv", "embedding"}
