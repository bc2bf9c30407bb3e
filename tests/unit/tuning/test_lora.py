"""The competitor learns by the same data, and the frozen model stays as it is."""

from dataclasses import replace

import pytest

from code_model.loading import BaseModel, weights_hash
from tests.unit.tuning.test_train import CONFIG, EXAMPLES, START, Cycle
from tuning.evaluate import middle_nats
from tuning.lora import tune_lora
from tuning.prefix import initial_prefix

pytestmark = pytest.mark.slow  # transformers and PEFT take seconds to import


def test_lora_learns_and_the_base_stays(base: BaseModel) -> None:
    before = weights_hash(base.model)
    tuned = tune_lora(base, Cycle(), replace(CONFIG, steps=20), learning_rate=1e-2)
    assert weights_hash(base.model) == before
    assert weights_hash(tuned.model) != before
    prefix = initial_prefix(base, "kv", START[:1]).kv(base.model)
    losses = [middle_nats(one.model, prefix, EXAMPLES).sum() for one in (base, tuned)]
    assert losses[1] < 0.9 * losses[0]


def test_lora_that_has_not_moved_is_the_model(base: BaseModel) -> None:
    tuned = tune_lora(base, Cycle(), replace(CONFIG, steps=1), learning_rate=0.0)
    assert weights_hash(tuned.model) == weights_hash(base.model)
