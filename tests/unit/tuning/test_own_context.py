"""A prompt that was tuned with other context parameters than the defaults is served with them."""

from dataclasses import replace
from pathlib import Path

import pytest

from code_context import context_parameters
from code_context.completion_kind import CompletionKind, decide
from code_context.context import ContextConfig
from code_context.syntax import parse
from code_model.compatibility import context_of
from code_model.decoder.model import DecoderModel
from completion.model_input import CompletionPoint
from completion.pipeline import MAX_NEW_TOKENS, complete
from prompts.errors import IncompatiblePrompt
from prompts.file import PromptFile
from tests.unit.tuning.conftest import CONFIG
from tuning.corpus import Corpus, collect
from tuning.evaluate import Gain
from tuning.examples import fim_example, held_out_holes, indexed, with_snippets, without_middle
from tuning.job import new_job, recorded_job
from tuning.publish import prompt_file
from tuning.train import Evaluation, TrainingState

OWN = replace(
    ContextConfig(),
    max_prefix_tokens=480,
    max_header_tokens=0,
    sources=(("recent", 0.25), ("definition", 0.75), ("similar", 1.0)),
    order=("recent", "definition", "similar"),
)


@pytest.fixture
def corpus(git_repository: Path) -> Corpus:
    return collect(git_repository)


@pytest.fixture
def prompt(base: DecoderModel, corpus: Corpus) -> PromptFile:
    job = replace(new_job(base, corpus, CONFIG), context=OWN)
    embeddings = base.prompt_embeddings_of(list(range(16)), "kv-nope").detach()
    evaluation = Evaluation(1.0, 6, 1.0, 1.0, Gain(0.1, 0.0, 0.2))
    return prompt_file(job, embeddings, TrainingState(embeddings, evaluation, [evaluation]), {})


def test_serving_gives_the_ids_of_tuning(
    base: DecoderModel, corpus: Corpus, prompt: PromptFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, others = base.open(prompt), indexed(corpus.files)
    assert session.context == OWN
    served: list[list[int]] = []
    generate = session.generate

    def remember(ids, **options):
        served.append(list(ids))
        return generate(ids, **options)

    monkeypatch.setattr(session, "generate", remember)
    differing = 0
    for hole in held_out_holes(base, corpus.files, config=OWN, room=300, count=24, seed=3):
        file, scored = hole.file, hole.example.scored
        text = without_middle(file, hole.hole)
        kind = decide(parse(text, "python"), hole.hole.start, explicit=True).kind
        point = CompletionPoint.parse(text, file.path, hole.hole.start, others)
        complete(session, point, explicit=True)
        if kind is CompletionKind.NONE:
            continue
        room = session.room(MAX_NEW_TOKENS[kind])
        # an example has room for the open file as without others, and theirs on top
        for tuned in (r for r in range(600) if with_snippets(r - scored, OWN) == room):
            example = fim_example(base, file, hole.hole, OWN, tuned, others)
            assert served[-1] == example.ids[:-scored]
            default = fim_example(base, file, hole.hole, ContextConfig(), tuned, others)
            differing += default.ids != example.ids
            break
    assert differing > 5


def test_its_run_is_repeated_with_its_context(
    base: DecoderModel, corpus: Corpus, prompt: PromptFile
) -> None:
    assert recorded_job(base, corpus, prompt.manifest).context == OWN


def test_it_cannot_be_served_with_another_context(base: DecoderModel, prompt: PromptFile) -> None:
    own = context_parameters.to_dict(OWN)
    hostile = {**own, "max_prefix_tokens": 10**9}
    for context in ({}, {**own, "block_lines": 8}, hostile):
        changed = PromptFile(replace(prompt.manifest, context=context), prompt.embeddings)
        with pytest.raises(IncompatiblePrompt):
            base.open(changed)
    with pytest.raises(IncompatiblePrompt, match="max_prefix_tokens"):
        context_of(replace(prompt.manifest, context=hostile))
