"""Packed documents: each is what it is alone, and the loss is what plain autograd says."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from code_model.decoder.llama import PrefixKV
from code_model.decoder.soft_prompt import kv_of_ids
from code_model.loading import BaseModel
from tuning.config import TuningConfig
from tuning.examples import Example
from tuning.objective import step_loss, weights_of
from tuning.packed import hidden_states, loss_over_logits, pack

DOCUMENTS = [[9, 30, 31, 32], [9, 40, 41, 42, 43, 44, 45], [7, 8]]
QUICK = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def plain_loss(base: BaseModel, prefix: PrefixKV, example: Example, weight: float):
    """Cross-entropy of one example by the model's own forward pass."""
    ids = torch.tensor([example.ids])
    logits = base.model.logits(base.model(ids[:, :-1], prefix))[0]
    nats = F.cross_entropy(logits, ids[0, 1:], reduction="none")
    return (nats * torch.tensor(weights_of(example, weight))).sum()


@given(
    st.lists(st.lists(st.integers(0, 300), min_size=2, max_size=20), min_size=1, max_size=5),
    st.integers(0, 3),
    st.booleans(),
)
@QUICK
def test_a_packed_document_is_what_it_is_alone(
    base: BaseModel, documents: list[list[int]], virtual: int, positions: bool
) -> None:
    prefix = PrefixKV(kv_of_ids(base.model, [0, 5, 6][:virtual]), positions)
    packed = pack(documents, [[1.0] * (len(one) - 1) for one in documents])
    together = hidden_states(base.model, packed, prefix)
    apart = [base.model(torch.tensor([one[:-1]]), prefix)[0] for one in documents]
    torch.testing.assert_close(together, torch.cat(apart), atol=2e-4, rtol=1e-4)


def test_what_is_scored_weighs_one_and_the_rest_less() -> None:
    assert weights_of(Example([9, 30, 31, 32, 33], 2), 0.3) == [0.3, 0.3, 1.0, 1.0]


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("positions", [False, True])
@pytest.mark.parametrize("weight", [0.0, 1.0, 0.3])
def test_loss_and_gradient_are_those_of_plain_autograd(
    base: BaseModel, weight: float, recompute: bool, positions: bool
) -> None:
    examples = [Example(one, 1 + n) for n, one in enumerate([*DOCUMENTS[:2], [4] * 300])]
    one = kv_of_ids(base.model, [0, 5, 6]).requires_grad_()
    config = TuningConfig(context_weight=weight)
    prefix = PrefixKV(one, positions)
    loss, total = step_loss(base.model, prefix, examples, config, recompute=recompute)
    loss.backward()
    other = one.detach().clone().requires_grad_()
    prefix = PrefixKV(other, positions)
    expected = sum(plain_loss(base, prefix, example, weight) for example in examples)
    expected.backward()
    assert total == pytest.approx(sum(sum(weights_of(one, weight)) for one in examples))
    torch.testing.assert_close(loss, expected, atol=1e-2, rtol=1e-5)
    torch.testing.assert_close(one.grad, other.grad, atol=1e-3, rtol=1e-3)


def test_nothing_is_computed_for_tokens_that_do_not_count(base: BaseModel) -> None:
    packed = pack(DOCUMENTS, [[0.0, 0.0, 1.0], [0.0] * 6, [2.0]])
    assert packed.targets.tolist() == [32, 8]
    assert packed.weights.tolist() == [1.0, 2.0]
    seen: list[int] = []

    def loss_of(logits: torch.Tensor, rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(len(logits))
        return logits.sum(), torch.ones_like(logits)

    hidden = hidden_states(base.model, packed, PrefixKV(kv_of_ids(base.model, [0])))
    loss_over_logits(base.model, hidden[packed.scored], loss_of)
    assert seen == [2]
