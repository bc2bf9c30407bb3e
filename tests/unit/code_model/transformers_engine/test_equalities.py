"""This engine gives the logits of our own decoder: without a prompt, and with one in every form."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from code_model.decoder.loading import load_decoder
from code_model.decoder.model import DecoderModel
from code_model.language_model import ScoredIds
from code_model.model_folder import ModelFolder, read_model_folder
from code_model.transformers_engine import model as model_module
from code_model.transformers_engine.loading import load_transformers
from code_model.transformers_engine.model import TransformersModel
from pretraining.export import export
from prompts.errors import IncompatiblePrompt
from prompts.file import PromptFile
from prompts.form import Form
from prompts.manifest import Manifest

IDS = [7, 3, 250, 14, 9, 9, 31, 102, 55, 4, 19, 77]
SEQUENCES = [IDS, IDS[3:8], IDS[::-1] * 3]
FORMS: list[Form] = ["kv", "kv-nope", "embedding"]
Pair = tuple[DecoderModel, TransformersModel]


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.fixture(
    scope="module",
    params=[
        ("llama", "cpu"),
        ("qwen2", "cpu"),
        ("int8", "cpu"),
        pytest.param(("llama", "cuda"), marks=needs_cuda),
        pytest.param(("qwen2", "cuda"), marks=needs_cuda),
    ],
    ids="-".join,
)
def pair(
    request: pytest.FixtureRequest,
    tiny_model: Path,
    folder_of: Callable[..., ModelFolder],
    tmp_path_factory: pytest.TempPathFactory,
) -> Pair:
    """The same weights in both engines: ours on the CPU, the other on a device."""
    kind, device = request.param
    if kind == "llama":
        folder = read_model_folder(tiny_model)
    elif kind == "int8":  # stored so, and computed by the other as floats
        stored = tmp_path_factory.mktemp("stored") / "tiny"
        full = load_decoder(read_model_folder(tiny_model)).llama
        export(full, tiny_model / "tokenizer.json", stored, "tiny", "int8")
        folder = read_model_folder(stored)
    else:  # biases on queries, keys and values
        folder = folder_of(kind, {"rms_norm_eps": 1e-6})
    return load_decoder(folder), load_transformers(folder, device=device, precision="float32")


def prompt_of(model: DecoderModel, form: Form, seed: int = 0) -> PromptFile:
    rows = model.prompt_embeddings_of(IDS[:5], form)
    noise = torch.randn(rows.shape, generator=torch.Generator().manual_seed(seed))
    rows = rows + 0.3 * rows.std() * noise
    manifest = Manifest(
        name="test",
        form=form,
        num_virtual_tokens=len(rows),
        model=model.identity,
        languages=("python",),
        repository="repository",
        attune_version="0",
    )
    return PromptFile(manifest, rows.contiguous().numpy().astype(np.float32))


def test_both_engines_are_the_same_model_to_a_prompt(pair: Pair) -> None:
    own, transformers = pair
    assert transformers.identity == own.identity
    assert set(transformers.forms) == set(own.forms)
    assert transformers.max_positions == own.max_positions
    assert transformers.num_parameters == own.num_parameters


@pytest.mark.parametrize("form", [None, *FORMS])
def test_scores_equal_those_of_our_decoder(pair: Pair, form: Form | None) -> None:
    prompt = None if form is None else prompt_of(pair[0], form)
    sequences = [ScoredIds(ids, len(ids) - 1) for ids in SEQUENCES]
    own, transformers = (model.open(prompt).score(sequences) for model in pair)
    for ours, theirs in zip(own, transformers, strict=True):
        assert theirs == pytest.approx(ours, abs=1e-4)


@pytest.mark.parametrize("form", [None, *FORMS])
def test_served_tokens_equal_those_of_our_decoder(pair: Pair, form: Form | None) -> None:
    prompt = None if form is None else prompt_of(pair[0], form)
    answers = [model.open(prompt).generate(IDS, max_new_tokens=6) for model in pair]
    assert answers[1].text == answers[0].text
    # our decoder keeps keys and values in float16
    assert answers[1].logprobs == pytest.approx(answers[0].logprobs, abs=0.05)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("recompute", [False, True])
def test_loss_and_gradient_equal_those_of_our_decoder(
    pair: Pair, form: Form, recompute: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_module, "RECOMPUTE_FROM", 0 if recompute else 1 << 60)
    weights = [[0.1 * (n % 3) for n in range(len(ids) - 1)] for ids in SEQUENCES]
    results = []
    for model in pair:
        rows = torch.from_numpy(prompt_of(pair[0], form).embeddings).requires_grad_()
        loss = model.loss(model.prefix_of(rows, form), SEQUENCES, weights)
        results.append((loss, *torch.autograd.grad(loss, rows)))
    torch.testing.assert_close(results[1][0], results[0][0], atol=1e-3, rtol=1e-5)
    difference = (results[1][1] - results[0][1]).norm() / results[0][1].norm()
    assert difference < 1e-3


@pytest.mark.parametrize("form", ["kv", "kv-nope"])
def test_queries_equal_those_of_our_decoder(pair: Pair, form: Form) -> None:
    rows = torch.from_numpy(prompt_of(pair[0], form).embeddings)
    own, transformers = (model.queries(IDS * 12, rows, form) for model in pair)
    assert transformers is not None
    for ours, theirs in zip(own, transformers, strict=True):
        for name in ("queries", "outputs", "log_sums"):
            torch.testing.assert_close(
                getattr(theirs, name), getattr(ours, name), atol=1e-3, rtol=1e-3
            )


@pytest.mark.parametrize("form", FORMS)
def test_prompts_start_from_the_same_tokens(pair: Pair, form: Form) -> None:
    own, transformers = (model.prompt_embeddings_of(IDS, form) for model in pair)
    torch.testing.assert_close(transformers, own, atol=1e-4, rtol=1e-4)
    assert pair[1].nearest_tokens(own, form) == pair[0].nearest_tokens(own, form)


@given(
    st.lists(st.lists(st.sampled_from([7, 9, 31]), min_size=1, max_size=9), min_size=2, max_size=4),
    st.sampled_from([None, *FORMS]),
)
@settings(max_examples=8)
def test_reused_keys_and_values_give_the_same_completion(
    pair: Pair, requests: list[list[int]], form: Form | None
) -> None:
    """Whatever was asked before, an answer is that of a fresh session."""
    prompt = None if form is None else prompt_of(pair[0], form)
    kept = pair[1].open(prompt)
    for ids in requests:
        answer = kept.generate(ids, max_new_tokens=6)
        fresh = pair[1].open(prompt).generate(ids, max_new_tokens=6)
        assert answer.ids == fresh.ids
        assert answer.logprobs == pytest.approx(fresh.logprobs, abs=1e-3)


def test_padding_changes_no_score(pair: Pair) -> None:
    model = pair[1]
    prefix = model.bare_prefix()
    sequences = [ScoredIds(ids, 3) for ids in SEQUENCES]
    together = model.score(prefix, sequences)
    for scored, one in zip(together, sequences, strict=True):
        assert scored == pytest.approx(model.score(prefix, [one])[0], abs=1e-4)


def test_a_copy_in_bfloat16_shares_prefixes_and_is_near(pair: Pair) -> None:
    model = pair[1]
    before = model.weights_hash()
    low = model.for_gradients(bfloat16=True)
    assert low.runtime.precision == "bfloat16"
    prefix = model.prefix_of(torch.from_numpy(prompt_of(pair[0], "kv").embeddings), "kv")
    sequences = [ScoredIds(IDS, len(IDS) - 1)]
    near, exact = (sum(each.score(prefix, sequences)[0]) for each in (low, model))
    assert near == pytest.approx(exact, rel=0.05)
    assert near != exact
    frequencies = [each.network.causal.model.rotary_emb.inv_freq for each in (low, model)]
    assert torch.equal(*frequencies)
    assert model.weights_hash() == before


def test_serving_and_tuning_leave_the_weights_alone(pair: Pair) -> None:
    model = pair[1]
    before = model.weights_hash()
    model.open().generate(IDS, max_new_tokens=4)
    rows = model.prompt_embeddings_of(IDS, "kv").requires_grad_()
    model.loss(model.prefix_of(rows, "kv"), [IDS], [[1.0] * (len(IDS) - 1)]).backward()
    assert model.weights_hash() == before
    assert not any(parameter.requires_grad for parameter in model.network.causal.parameters())


def test_other_weights_are_a_copy(pair: Pair) -> None:
    model = pair[1]
    before = model.weights_hash()
    own = model.network.causal.state_dict()
    name = "model.layers.0.mlp.up_proj.weight"
    other = model.with_weights({name: own[name] + 1.0, "unknown": own[name]})
    assert other.weights_hash() != before
    assert model.weights_hash() == before


def test_a_prompt_of_another_model_is_refused(pair: Pair) -> None:
    right = prompt_of(pair[0], "kv")
    other = replace(right.manifest.model, model_fingerprint="0" * 64)
    with pytest.raises(IncompatiblePrompt, match="tune again"):
        pair[1].open(PromptFile(replace(right.manifest, model=other), right.embeddings))
