"""The competitor learns by the same data, and the frozen model stays as it is."""

from dataclasses import replace

import pytest

from code_model.decoder.model import DecoderModel
from tests.unit.tuning.test_train import CONFIG, EXAMPLES, START, Cycle
from tuning.evaluate import total_nats
from tuning.lora import tune_lora

pytestmark = pytest.mark.slow  # transformers and PEFT take seconds to import


def test_lora_learns_and_the_base_stays(base: DecoderModel) -> None:
    before = base.weights_hash()
    tuned = tune_lora(base, Cycle(), replace(CONFIG, steps=20), learning_rate=1e-2)
    assert base.weights_hash() == before
    assert tuned.weights_hash() != before
    prefix = base.prefix_of(base.prompt_embeddings_of(START[:1], "kv"), "kv")
    losses = [total_nats(each_model.score(prefix, EXAMPLES)).sum() for each_model in (base, tuned)]
    assert losses[1] < 0.9 * losses[0]


def test_lora_that_has_not_moved_is_the_model(base: DecoderModel) -> None:
    tuned = tune_lora(base, Cycle(), replace(CONFIG, steps=1), learning_rate=0.0)
    assert tuned.weights_hash() == base.weights_hash()
