"""The shipped model: transformers computes the same of its weights, and it reads its context."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from code_model.decoder.model import DecoderModel
from code_model.full_weights_folder import full_weights_folder
from code_model.loading import DEFAULT, load_model
from code_model.model_folder import read_model_folder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shipped() -> DecoderModel:
    return load_model(DEFAULT)


def test_it_is_small_and_says_what_it_is(shipped: DecoderModel) -> None:
    size = sum(file.stat().st_size for file in DEFAULT.iterdir())
    assert size < 26 * 2**20
    assert shipped.runtime.quantisation == "int8"
    assert shipped.name == "attune-default"
    assert shipped.encoder.template.order == "spm"
    assert json.loads((DEFAULT / "config.json").read_text())["model_type"] == "llama"
    assert (DEFAULT / "README.md").is_file(), "a model ships with its card"


@torch.no_grad()
def test_it_computes_what_transformers_computes(shipped: DecoderModel) -> None:
    from transformers import LlamaForCausalLM

    text = Path(__file__).read_text(encoding="utf-8")
    ids = torch.tensor([shipped.encoder.beginning_ids + shipped.encoder.encode_file("a.py", text)])
    full = full_weights_folder(read_model_folder(DEFAULT))
    reference = LlamaForCausalLM.from_pretrained(full, dtype=torch.float32)
    ours = shipped.llama.logits(shipped.llama(ids))
    torch.testing.assert_close(ours, reference(ids).logits, atol=2e-3, rtol=1e-3)


@torch.no_grad()
def test_it_copies_what_it_has_never_seen(shipped: DecoderModel) -> None:
    """What a soft prompt needs of its model: that it reads what stands in front.

    Loss (nats per token) on random tokens is near the logarithm of the vocabulary, on their
    second coming far below.
    """
    generator = torch.Generator().manual_seed(0)
    span = torch.randint(300, shipped.llama.config.vocab_size, (8, 48), generator=generator)
    ids = torch.cat((torch.full((8, 1), shipped.encoder.beginning_ids[0]), span, span), dim=1)
    logits = shipped.llama.logits(shipped.llama(ids[:, :-1]))
    nats = F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    first, second = nats[:, :48].mean(), nats[:, 52:].mean()
    assert second < 0.5 * first
