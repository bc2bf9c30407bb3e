"""Packed documents: each is what it is alone, and the loss is what plain autograd says."""

from dataclasses import replace

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
from tuning.objective import Teacher, step_loss, weights_of, with_rest
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
    """A taught example has nothing but its middle."""
    example = Example([9, 30, 31, 32, 33], 2)
    assert weights_of(example, 0.3) == [0.3, 0.3, 1.0, 1.0]
    assert weights_of(replace(example, taught=1.0), 0.3) == [0.0, 0.0, 1.0, 1.0]


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


def test_the_rest_makes_a_distribution() -> None:
    logs = torch.randn(4, 30).log_softmax(-1)
    whole = with_rest(logs.topk(5).values)
    torch.testing.assert_close(whole.exp().sum(-1), torch.ones(4))


def test_a_student_that_is_the_teacher_has_nothing_to_learn(base: BaseModel) -> None:
    """The anchor's divergence is zero, with zero gradient, for a prompt that changes nothing."""
    no_prompt = kv_of_ids(base.model, [0])
    ids = list(range(20, 50))
    example = Example(ids, 29, teacher=ids, taught=1.0)
    prefix = no_prompt.clone().requires_grad_()
    teacher = Teacher(base.model, PrefixKV(no_prompt))
    loss, total = step_loss(base.model, PrefixKV(prefix), [example], TuningConfig(), teacher)
    loss.backward()
    assert total == 29
    assert abs(loss.item()) < 1e-3
    assert prefix.grad is not None
    assert prefix.grad.abs().max() < 1e-3


def test_a_taught_prompt_comes_nearer_to_its_teacher(base: BaseModel) -> None:
    no_prompt = kv_of_ids(base.model, [0])
    shown = [60, 61, 62, 63]
    example = Example([9, 30, 31, 32, 33], 3, teacher=[*shown, 9, 30, 31, 32, 33], taught=1.0)
    teacher = Teacher(base.model, PrefixKV(no_prompt))
    prefix = kv_of_ids(base.model, [0, *reversed(shown)]).requires_grad_()
    optimiser = torch.optim.Adam([prefix], lr=0.1)
    losses = []
    for _ in range(60):
        loss, _ = step_loss(base.model, PrefixKV(prefix), [example], TuningConfig(), teacher)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert 0 <= losses[-1] < 0.5 * losses[0]


def test_the_gradient_of_a_taught_example_is_that_of_plain_autograd(base: BaseModel) -> None:
    """Half cross-entropy, half divergence from the teacher's distribution."""
    ids, shown = [9, 30, 31, 32, 33], [60, 61]
    example = Example(ids, 3, teacher=[*shown, *ids], taught=0.5)
    teacher = Teacher(base.model, PrefixKV(kv_of_ids(base.model, [0])))
    config = TuningConfig(context_weight=0.3)
    one = kv_of_ids(base.model, [0, 5, 6]).requires_grad_()
    loss, total = step_loss(base.model, PrefixKV(one), [example], config, teacher)
    loss.backward()
    other = one.detach().clone().requires_grad_()
    logits = base.model.logits(base.model(torch.tensor([ids[:-1]]), PrefixKV(other)))[0]
    nats = F.cross_entropy(logits, torch.tensor(ids[1:]), reduction="none")
    top, expected = teacher.expects(example)
    own = with_rest(logits[-3:].log_softmax(-1).gather(-1, top))
    divergence = (expected.exp() * (expected - own)).sum()
    plain = 0.3 * nats[0] + 0.5 * nats[1:].sum() + 0.5 * divergence
    plain.backward()
    assert total == pytest.approx(3.3)
    torch.testing.assert_close(loss, plain, atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(one.grad, other.grad, atol=1e-3, rtol=1e-3)


def test_the_teacher_is_asked_once(base: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = Teacher(base.model, PrefixKV(kv_of_ids(base.model, [0])))
    example = Example([9, 30, 31], 2, teacher=[5, 9, 30, 31], taught=0.5)
    first = teacher.expects(example)
    monkeypatch.setattr("tuning.objective.hidden_states", None)
    assert teacher.expects(example)[0].equal(first[0])


def test_a_teacher_answers_while_another_lane_clears_its_cache(base: BaseModel) -> None:
    class Cleared(dict[object, object]):
        def __setitem__(self, key: object, value: object) -> None:
            """What was put here is gone at once."""

    teacher = Teacher(base.model, PrefixKV(kv_of_ids(base.model, [0])))
    teacher._cached = Cleared()
    example = Example([9, 30, 31], 2, teacher=[5, 9, 30, 31], taught=0.5)
    assert teacher.expects(example)[0].equal(teacher.expects(example)[0])
