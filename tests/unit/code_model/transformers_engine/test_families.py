"""Which families serve, with transformers' own logits, and why the others are refused."""

from collections.abc import Callable

import pytest
import torch
from transformers import AutoModelForCausalLM

from code_model.attention import why_not_served
from code_model.language_model import ModelLoadError, ScoredIds
from code_model.model_folder import ModelFolder
from code_model.transformers_engine.loading import load_transformers
from code_model.transformers_engine.model import TransformersModel

from .conftest import FAMILIES, REFUSED

IDS = [7, 3, 50, 14, 9, 9, 31, 22, 55, 4, 19, 17]
SPLIT = 5


@torch.no_grad()
def reference_nats(model: TransformersModel, ids: list[int]) -> list[float]:
    """By transformers alone, without anything of ours."""
    plain = AutoModelForCausalLM.from_pretrained(model.folder, dtype=torch.float32)
    logits = plain(torch.tensor([ids]), use_cache=False).logits[0, :-1]
    nats = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="none")
    return nats.tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_virtual_tokens_of_real_ones_give_the_logits_of_transformers(
    model_of: Callable[[str], TransformersModel], family: str
) -> None:
    model = model_of(family)
    behind = ScoredIds(IDS[SPLIT:], len(IDS) - SPLIT - 1)
    expected = reference_nats(model, IDS)[SPLIT:]
    assert max(expected) - min(expected) > 0.5  # so that another place would be seen
    for form in ("kv", "embedding"):
        embeddings = model.prompt_embeddings_of(IDS[:SPLIT], form)
        (nats,) = model.score(model.prefix_of(embeddings, form), [behind])
        assert nats == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_kept_cache_gives_the_tokens_of_a_fresh_session(
    model_of: Callable[[str], TransformersModel], family: str
) -> None:
    model = model_of(family)
    kept = model.open()
    for ids in (IDS, [*IDS[:4], 60, 61], [*IDS, 44], IDS[:2], IDS * 3):
        answer = kept.generate(ids, max_new_tokens=4)
        fresh = model.open().generate(ids, max_new_tokens=4)
        assert answer.ids == fresh.ids
        assert answer.logprobs == pytest.approx(fresh.logprobs, abs=1e-3)


def test_queries_that_cannot_be_turned_back_leave_kv_nope_out(
    model_of: Callable[[str], TransformersModel],
) -> None:
    without = {family for family in FAMILIES if "kv-nope" not in model_of(family).forms}
    # one has learned positions; the other does not tell its attention what the engine asks
    assert without == {"gpt_bigcode", "stablelm"}
    assert not model_of("stablelm").network.attends


@pytest.mark.parametrize("kind", [kind for kind in REFUSED if kind != "gpt_neo"])
def test_what_is_refused_here_is_refused_before_it_is_loaded(
    folder_of: Callable[..., ModelFolder], kind: str
) -> None:
    """`code_model.attention` tells the same without transformers."""
    assert why_not_served(folder_of(kind, REFUSED[kind], weights=False).config) is not None


def test_what_serves_here_is_not_refused_before_it_is_loaded(
    model_of: Callable[[str], TransformersModel],
) -> None:
    for family in FAMILIES:
        assert why_not_served(model_of(family).files.config) is None


@pytest.mark.parametrize("kind", REFUSED)
def test_a_cache_that_cannot_be_cut_is_refused(
    folder_of: Callable[..., ModelFolder], kind: str
) -> None:
    recurrent = kind in ("mamba", "falcon_h1", "qwen3_next", "qwen3_5_text")
    reason = "cannot be cut back to a prefix" if recurrent else "sliding-window attention"
    folder = folder_of(kind, REFUSED[kind], weights=False)
    with pytest.raises(ModelLoadError, match=reason) as raised:
        load_transformers(folder, device="cpu")
    assert kind in str(raised.value)
    assert "choose a model with full attention" in str(raised.value)
