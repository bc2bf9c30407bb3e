"""The search finds a better context where there is one, and believes it on other files only."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from code_context.completion_kind import CompletionKind, decide
from code_context.context import ContextConfig
from code_context.parameters import described
from code_context.syntax import parse
from code_model.decoder.session import Engine
from code_model.decoder.soft_prompt import context_of, prefix_kv
from code_model.loading import BaseModel
from completion.pipeline import MAX_NEW_TOKENS, complete
from prompts.errors import IncompatiblePrompt
from prompts.file import PromptFile, read_prompt
from tests.unit.tuning.conftest import FILE
from tests.unit.tuning.test_tune import CONFIG, quiet
from tuning.context_search import (
    DEFAULT,
    ORDERS,
    SHARES,
    SIZES,
    START,
    WINDOWS,
    ContextFound,
    _Search,
    config_at,
    search_context,
)
from tuning.corpus import SourceFile, collect
from tuning.evaluate import Gain
from tuning.examples import (
    Example,
    fim_example,
    held_out_holes,
    indexed,
    with_snippets,
    without_middle,
)
from tuning.tune import evaluate, tune

FILES = [
    SourceFile(
        f"package/{n}.py",
        FILE.format(n=n)
        + "\n".join(f"def only_{n}_{m}(a_{m}):\n    return a_{m} + {n}\n" for m in range(20)),
    )
    for n in range(12)
]
ROOM = 1_200


def search(base: BaseModel, **options) -> ContextFound:
    return search_context(base, FILES, indexed(FILES), room=ROOM, seed=1, **options)


def planted(monkeypatch: pytest.MonkeyPatch, loss) -> None:
    """`loss` takes the place of the model: nats of one example."""
    monkeypatch.setattr(
        "tuning.context_search.middle_nats",
        lambda model, prefix, examples: np.array([loss(one) for one in examples], float),
    )


def behind(base: BaseModel, example: Example) -> int:
    """Tokens behind the cursor."""
    ids, encoder = example.ids, base.encoder
    return ids.index(encoder.prefix_id) - ids.index(encoder.suffix_id)


def test_the_default_is_the_first_candidate() -> None:
    assert config_at(START) == ContextConfig() == DEFAULT
    price = sum(WINDOWS[0])
    assert all(sum(windows) <= price for windows in WINDOWS)
    assert len({config_at((w, s, o)) for w in range(SIZES[0]) for s in range(SIZES[1])
                for o in range(SIZES[2])}) == math.prod(SIZES)  # fmt: skip
    assert (len(SHARES), len(ORDERS)) == SIZES[1:]


def test_a_planted_better_part_is_found(base: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, lambda example: 20.0 - behind(base, example) / 20)
    told: list[float] = []
    found = search(base, progress=told.append)
    assert found.taken
    assert found.config.max_suffix_tokens == max(behind for _, behind, _, _ in WINDOWS)
    assert found.gain is not None
    assert found.gain.mean > 0
    assert found.sections["suffix"].proven
    assert found.sections["header"].mean == pytest.approx(0, abs=0.01)
    assert told[-1] == 1.0
    assert told == sorted(told)
    assert found == search(base), "the same seed finds the same"


def test_other_files_that_only_harm_are_left_out(
    base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    separator = base.encoder.separator_id
    planted(monkeypatch, lambda example: 20.0 + example.ids.count(separator))
    found = search(base)
    assert found.taken
    assert found.config.max_snippet_tokens == 0
    assert set(found.sections) == {"suffix", "header"}


def test_a_winner_by_chance_is_not_taken(base: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be better on files that did not choose it."""
    sides: list[object] = []
    best = _Search.best

    def nats(model, prefix, examples):
        sign = 1.0 if len(sides) else -1.0
        return np.array([20.0 + sign * behind(base, one) / 20 for one in examples])

    def choose(self: _Search):
        point = best(self)
        sides.append(point)
        return point

    monkeypatch.setattr("tuning.context_search.middle_nats", nats)
    monkeypatch.setattr(_Search, "best", choose)
    found = search(base)
    assert found.best == sides[0] != START
    assert found.gain is not None
    assert found.gain.mean < 0
    assert not found.taken
    assert found.config == DEFAULT


def test_the_time_is_kept(base: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0

    def nats(model, prefix, examples):
        nonlocal looked
        looked += len(examples)
        return np.ones(len(examples))

    monkeypatch.setattr("tuning.context_search.middle_nats", nats)
    found = search(base, spent=lambda: looked / 400)
    assert found.point == START
    assert looked < 400 + 100
    assert found.holes >= 16


def with_context(monkeypatch: pytest.MonkeyPatch, point: tuple[int, int, int]) -> ContextConfig:
    found = ContextFound(point, Gain(0.1, 0.05, 0.2), 9, 3, 16, {"header": Gain(0.1, 0.0, 0.2)})
    monkeypatch.setattr("tuning.tune.search_context", lambda *arguments, **named: found)
    return config_at(point)


def test_serving_gives_the_ids_of_tuning(
    base: BaseModel, git_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under other parameters than the default, from the file that tuning wrote."""
    config = with_context(monkeypatch, (5, 1, 1))
    read = collect(git_repository)
    report = tune(base, read, None, CONFIG, quiet, search=True)
    assert report.written is not None
    assert report.to_json()["context"]["taken"] is True
    prompt = read_prompt(report.written, model=base.identity)
    assert prompt.manifest.context == described(config)
    assert prompt.manifest.measured["context"] == report.to_json()["context"]
    engine, others = Engine(base, prompt), indexed(read.files)
    assert engine.context == config
    given: list[list[int]] = []
    generate = engine.generate

    def remember(ids, **options):
        given.append(list(ids))
        return generate(ids, **options)

    monkeypatch.setattr(engine, "generate", remember)
    compared = 0
    holes = held_out_holes(base, read.files, config=config, room=300, count=24, seed=3)
    for file, hole, scored in ((one.file, one.hole, one.example.scored) for one in holes):
        text = without_middle(file, hole)
        kind = decide(parse(text, "python"), hole.start, explicit=True).kind
        complete(engine, text, file.path, hole.start, explicit=True, repository=others)
        if kind is CompletionKind.NONE:
            continue
        room = engine.room(MAX_NEW_TOKENS[kind])
        # an example has room for the open file as without others, and theirs on top
        for tuned in (r for r in range(600) if with_snippets(r - scored, config) == room):
            example = fim_example(base, file, hole, config, tuned, others)
            assert given[-1] == example.ids[: -example.scored]
            other = fim_example(base, file, hole, DEFAULT, tuned, others)
            compared += other.ids != example.ids
            break
    assert compared > 5


def test_the_proof_is_measured_with_the_prompts_context(
    base: BaseModel, git_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_context(monkeypatch, (6, 2, 0))
    read = collect(git_repository)
    report = tune(base, read, None, CONFIG, quiet, search=True)
    assert report.written is not None
    assert report.proof is not None
    again = evaluate(base, read, read_prompt(report.written), quiet)
    assert again.gain.mean == pytest.approx(report.proof.gain.mean, abs=1e-6)


def test_a_prompt_cannot_be_served_with_another_context(
    base: BaseModel, git_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_context(monkeypatch, (5, 1, 1))
    report = tune(base, collect(git_repository), None, CONFIG, quiet, search=True)
    assert report.written is not None
    prompt = read_prompt(report.written)
    hostile = {**described(config), "max_prefix_tokens": 10**9}
    for context in ({}, {**described(config), "block_lines": 8}, hostile):
        changed = PromptFile(replace(prompt.manifest, context=context), prompt.embeddings)
        with pytest.raises(IncompatiblePrompt, match="different layout"):
            prefix_kv(base, changed)
    with pytest.raises(IncompatiblePrompt, match=r"max_prefix_tokens must be a whole number.*;"):
        context_of(replace(prompt.manifest, context=hostile))
