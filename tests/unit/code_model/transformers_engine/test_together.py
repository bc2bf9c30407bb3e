"""Sessions that share their forward passes: each generates what it generates alone."""

from collections.abc import Callable, Sequence
from typing import get_args

import pytest
import torch

from code_model.greedy import GreedyEnd
from code_model.language_model import Generation
from code_model.out_of_memory import OutOfModelMemoryError
from code_model.transformers_engine import together
from code_model.transformers_engine.model import TransformersModel
from code_model.transformers_engine.network import Network
from code_model.transformers_engine.together import Wanted, generate_together
from prompts.file import PromptFile
from prompts.form import Form
from prompts.manifest import Manifest
from tests.unit.code_model.transformers_engine.conftest import FAMILIES


def prompt_of(model: TransformersModel, form: Form, tokens: int, seed: int) -> PromptFile:
    """Real tokens, disturbed so that no text is the same."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 290, (tokens,), generator=generator).tolist()
    rows = model.prompt_embeddings_of(ids, form)
    rows = rows * (1 + 0.3 * torch.randn(rows.shape, generator=generator))
    manifest = Manifest(
        name=f"p{seed}", form=form, num_virtual_tokens=tokens, model=model.identity,
        attune_version="0.1.0",
    )  # fmt: skip
    return PromptFile(manifest, rows.detach().contiguous().numpy())


def prompts_of(model: TransformersModel) -> list[PromptFile | None]:
    """None, and one of every form that the model serves, of several lengths."""
    forms = [form for form in get_args(Form) if form in model.forms]
    return [None, *(prompt_of(model, form, 2 + 3 * n, n) for n, form in enumerate(forms * 2))]


def inputs(count: int) -> list[list[int]]:
    """Of several lengths, some longer than a block of the cache."""
    return [[5 + (row * 31 + n * n) % 280 for n in range(3 + 40 * row)] for row in range(count)]


def both_ways(
    model: TransformersModel, end: GreedyEnd, must_spell: Sequence[str] = ("",)
) -> tuple[list[Generation], list[Generation]]:
    prompts = prompts_of(model)
    spelled = [must_spell[row % len(must_spell)] for row in range(len(prompts))]
    asked = list(zip(prompts, inputs(len(prompts)), spelled, strict=True))
    alone = [Wanted(model.open(prompt), ids, end, typed).alone() for prompt, ids, typed in asked]
    rows = [Wanted(model.open(prompt), ids, end, typed) for prompt, ids, typed in asked]
    return alone, generate_together(rows)


def assert_same(alone: Sequence[Generation], together: Sequence[Generation]) -> None:
    for one, other in zip(alone, together, strict=True):
        assert (other.ids, other.text, other.finish_reason) == (
            one.ids, one.text, one.finish_reason
        )  # fmt: skip
        assert other.logprobs == pytest.approx(one.logprobs, abs=1e-4)
        assert other.prefilled == one.prefilled


@pytest.mark.parametrize("family", FAMILIES)
def test_every_session_generates_what_it_generates_alone(
    family: str, model_of: Callable[[str], TransformersModel]
) -> None:
    model = model_of(family)
    alone, shared = both_ways(model, GreedyEnd((), max_new_tokens=8))
    assert_same(alone, shared)
    assert len({each.ids for each in alone}) > 2, "the texts differ"


def test_texts_end_where_they_end_alone(model_of: Callable[[str], TransformersModel]) -> None:
    model = model_of("llama")
    free, _ = both_ways(model, GreedyEnd((), max_new_tokens=8))
    first_ends = free[0].ids[2]
    end = GreedyEnd((), 8, threshold=sum(free[1].logprobs[:4]), stop=lambda text: len(text) > 9)
    for each in (end, GreedyEnd((first_ends,), 8), GreedyEnd((), 8, cancelled=lambda: True)):
        alone, shared = both_ways(model, each)
        if each.end_ids:  # `alone` takes the model's own end
            assert shared[0].ids == free[0].ids[: free[0].ids.index(first_ends)]
            assert shared[0].finish_reason == "end"
        else:
            assert_same(alone, shared)


def test_what_is_typed_is_spelled_by_each(model_of: Callable[[str], TransformersModel]) -> None:
    alone, shared = both_ways(model_of("llama"), GreedyEnd((), 5), must_spell=("re", "", "s"))
    assert_same(alone, shared)


def test_a_session_goes_on_where_it_was(model_of: Callable[[str], TransformersModel]) -> None:
    model = model_of("llama")
    prompts = prompts_of(model)
    sessions = [model.open(prompt) for prompt in prompts]
    end = GreedyEnd((), max_new_tokens=6)
    for _ in range(2):
        asked = zip(sessions, inputs(len(prompts)), strict=True)
        shared = generate_together([Wanted(session, ids, end) for session, ids in asked])
    assert [each.prefilled for each in shared] == [1] * len(shared), "all of it was cached"
    for session, prompt, ids in zip(sessions, prompts, inputs(len(prompts)), strict=True):
        longer = [*ids, 77]
        alone = model.open(prompt).generate(longer, max_new_tokens=6)
        assert session.generate(longer, max_new_tokens=6).ids == alone.ids


def test_a_pass_is_shared(
    model_of: Callable[[str], TransformersModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of("llama")
    rows: list[int] = []
    hidden = Network.hidden

    def counted(
        network: Network, positions: torch.Tensor, *rest: object, **named: object
    ) -> object:
        rows.append(len(positions) if positions.ndim == 2 else 1)
        return hidden(network, positions, *rest, **named)  # type: ignore[arg-type]

    sessions = [model.open(prompt) for prompt in prompts_of(model)]
    monkeypatch.setattr(Network, "hidden", counted)
    end = GreedyEnd((), max_new_tokens=4)
    generate_together([Wanted(session, [7, 8], end) for session in sessions])
    assert rows == [1] * len(sessions) + [len(sessions)] * 4


def test_all_have_room_again_where_memory_ran_out(
    model_of: Callable[[str], TransformersModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of("llama")
    sessions = [model.open(), model.open()]
    wanted = [Wanted(session, [7, 3, 250, 14], GreedyEnd((), 3)) for session in sessions]

    def no_memory(*arguments: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(together.OwnCaches, "__call__", no_memory)
        with pytest.raises(OutOfModelMemoryError):
            generate_together(wanted)
    again = generate_together(wanted)
    assert [each.prefilled for each in again] == [4, 4]
    assert_same([model.open().generate([7, 3, 250, 14], max_new_tokens=3)] * 2, again)
