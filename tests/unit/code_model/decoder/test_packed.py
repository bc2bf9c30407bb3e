"""Packed sequences: each is what it is alone, and the loss is what plain autograd gives."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from code_model.cancel import StepCancelledError
from code_model.decoder.kv_cache import PrefixKV
from code_model.decoder.loss import nats, weighted_nats
from code_model.decoder.model import DecoderModel
from code_model.decoder.packed import hidden_states, pack
from code_model.decoder.soft_prompt import kv_of_ids
from code_model.language_model import ScoredIds
from code_model.logit_loss import loss_over_logits

SEQUENCES = [[9, 30, 31, 32], [9, 40, 41, 42, 43, 44, 45], [7, 8]]
QUICK = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def plain_nats(base: DecoderModel, prefix: PrefixKV, ids: list[int]) -> torch.Tensor:
    """Cross-entropy of all ids but the first, by the model's own forward pass."""
    row = torch.tensor([ids])
    logits = base.llama.logits(base.llama(row[:, :-1], prefix))[0]
    return F.cross_entropy(logits, row[0, 1:], reduction="none")


@given(
    st.lists(st.lists(st.integers(0, 300), min_size=2, max_size=20), min_size=1, max_size=5),
    st.integers(0, 3),
    st.booleans(),
)
@QUICK
def test_a_packed_sequence_is_what_it_is_alone(
    base: DecoderModel, sequences: list[list[int]], virtual: int, positions: bool
) -> None:
    prefix = PrefixKV(kv_of_ids(base.llama, [0, 5, 6][:virtual]), positions)
    packed = pack(sequences, [[1.0] * (len(ids) - 1) for ids in sequences])
    together = hidden_states(base.llama, packed, prefix)
    apart = [base.llama(torch.tensor([ids[:-1]]), prefix)[0] for ids in sequences]
    torch.testing.assert_close(together, torch.cat(apart), atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("positions", [False, True])
@pytest.mark.parametrize("weight", [0.0, 1.0, 0.3])
def test_loss_and_gradient_are_those_of_plain_autograd(
    base: DecoderModel, weight: float, recompute: bool, positions: bool
) -> None:
    sequences = [*SEQUENCES[:2], [4] * 300]
    weights = [[weight] * (len(ids) - 3) + [1.0, 0.5] for ids in sequences]
    packed_kv = kv_of_ids(base.llama, [0, 5, 6]).requires_grad_()
    prefix = PrefixKV(packed_kv, positions)
    loss = weighted_nats(base.llama, prefix, sequences, weights, recompute=recompute)
    loss.backward()
    plain_kv = packed_kv.detach().clone().requires_grad_()
    prefix = PrefixKV(plain_kv, positions)
    expected = sum(
        (plain_nats(base, prefix, ids) * torch.tensor(each)).sum()
        for ids, each in zip(sequences, weights, strict=True)
    )
    expected.backward()
    torch.testing.assert_close(loss, expected, atol=1e-2, rtol=1e-5)
    torch.testing.assert_close(packed_kv.grad, plain_kv.grad, atol=1e-3, rtol=1e-3)


def test_a_part_without_weights_has_no_loss_and_no_gradient(base: DecoderModel) -> None:
    kv = kv_of_ids(base.llama, [0, 5]).requires_grad_()
    loss = weighted_nats(base.llama, PrefixKV(kv), SEQUENCES[:1], [[0.0] * 3])
    loss.backward()
    assert loss.item() == 0.0
    assert not kv.grad.any()


@pytest.mark.parametrize("virtual", [0, 1, 3])
def test_scores_are_the_nats_of_the_last_ids(base: DecoderModel, virtual: int) -> None:
    """In the order of the sequences, over batches and chunks."""
    prefix = PrefixKV(kv_of_ids(base.llama, [0, 5, 6][:virtual]))
    ids = [[(7 * n + step) % 300 for step in range(2 + 13 * n)] for n in range(10)]
    scored = [1 + n * 12 for n in range(10)]
    scores = nats(base.llama, prefix, [ScoredIds(*each) for each in zip(ids, scored, strict=True)])
    for sequence, count, score in zip(ids, scored, scores, strict=True):
        expected = plain_nats(base, prefix, sequence)[-count:]
        torch.testing.assert_close(torch.tensor(score), expected, atol=1e-3, rtol=1e-3)


def test_scoring_ends_at_the_next_layer_when_cancelled(base: DecoderModel) -> None:
    calls = []

    def cancelled() -> bool:
        calls.append(len(calls))
        return len(calls) == 2

    with pytest.raises(StepCancelledError):
        base.open().score([ScoredIds(SEQUENCES[0], 2)], cancelled)
    assert len(calls) == 2


def test_nothing_is_computed_for_tokens_that_do_not_count(base: DecoderModel) -> None:
    packed = pack(SEQUENCES, [[0.0, 0.0, 1.0], [0.0] * 6, [2.0]])
    assert packed.targets.tolist() == [32, 8]
    assert packed.weights.tolist() == [1.0, 2.0]
    sizes: list[int] = []

    def loss_of(logits: torch.Tensor, rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(len(logits))
        return logits.sum(), torch.ones_like(logits)

    hidden = hidden_states(base.llama, packed, PrefixKV(kv_of_ids(base.llama, [0])))
    loss_over_logits(base.llama.logits, hidden[packed.scored], loss_of)
    assert sizes == [2]
