"""Audits: text in the file, text that only the prompt generates, and the whole of an audit."""

import itertools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from code_model.decoder.model import DecoderModel
from code_model.decoder.soft_prompt import kv_of_ids, kv_to_rows
from prompts.file import PromptFile, read_prompt
from prompts.manifest import Manifest
from tests.conftest import TEXT
from tests.unit.tuning.conftest import CONFIG, ignore
from tuning import audit as audit_module
from tuning import canaries as canaries_module
from tuning.audit import (
    Audit,
    EmbeddedText,
    GeneratedText,
    audit,
    decoded_text,
    embedded_text,
    generated_text,
)
from tuning.canaries import CanaryScores
from tuning.corpus import CorpusError, SourceFile, collect
from tuning.evaluate import Gain
from tuning.run import tune

KEY = "AKIA" + "QWERTYUIOPASDF12"
FILES = [SourceFile(f"file_{n}.py", TEXT.replace("Reader", f"Reader{n}")) for n in range(10)]
NOTHING = CanaryScores((1.0,) * 8, (1.0,) * 8)


def prompt_of(base: DecoderModel, text: str, form: str, **recipe: object) -> PromptFile:
    ids = base.tokenizer.encode(text)[:100]
    if form == "kv":
        rows = kv_to_rows(kv_of_ids(base.llama, ids))
    else:
        rows = base.llama.model.embed_tokens.weight[ids]
    noise = np.random.default_rng(0).normal(size=rows.shape)
    manifest = Manifest(
        name="p", form=form, num_virtual_tokens=len(ids), model=base.identity, recipe=recipe,
        attune_version="0.1.0",
    )  # fmt: skip
    moved = rows.detach().numpy() * (1 + 0.02 * noise)
    return PromptFile(manifest, np.ascontiguousarray(moved, dtype=np.float32))


@pytest.mark.parametrize("form", ["kv", "embedding"])
def test_the_rows_of_a_prompt_are_read_as_text(base: DecoderModel, form: str) -> None:
    """Rows that began as code are code to whoever has the file, also after tuning moved them."""
    text = f'import os\nKEY = "{KEY}"\nclass Reader3:\n    def __init__(self, path: Path)'
    prompt = prompt_of(base, text, form)
    assert decoded_text(base, prompt) == base.tokenizer.decode(base.tokenizer.encode(text)[:100])
    embedded = embedded_text(base, FILES, prompt)
    assert embedded.secret == "AWS Access Key"
    own = embedded_text(base, FILES, prompt_of(base, TEXT[:200], form))
    assert own.secret is None
    assert own.share > 0.9
    elsewhere = embedded_text(base, [SourceFile("a.py", "x = 1\n")], prompt)
    assert elsewhere.share == 0.0


class Parrot:
    """A model that generates a given text with a prompt, and nothing without."""

    def __init__(self, base: DecoderModel, text: str) -> None:
        self.encoder, self._text = base.encoder, text

    def open(self, prompt: PromptFile | None) -> SimpleNamespace:
        generation = SimpleNamespace(text="" if prompt is None else self._text)
        return SimpleNamespace(generate=lambda ids, *, max_new_tokens: generation)


@pytest.mark.parametrize(
    ("text", "more", "secret"),
    [
        (TEXT[60:200], True, None),
        ("    " * 40, False, None),
        ("def of_its_own(argument: int) -> int:\n    return argument + 1\n" * 3, False, None),
        (f'key = "{KEY}"', False, "AWS Access Key"),
    ],
)
def test_text_that_only_the_prompt_generates_is_found(
    base: DecoderModel, text: str, more: bool, secret: str | None
) -> None:
    files = [SourceFile("a.py", TEXT)]
    generated = generated_text(Parrot(base, text), files, prompt_of(base, "x = 1", "kv"), ignore)
    assert (generated.more_spans, generated.secret) == (more, secret)
    assert generated.spans_without == 0


def test_a_whole_audit(
    base: DecoderModel, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a prompt in the default form, with few places and lures."""
    monkeypatch.setattr(audit_module, "PLACES", 2)
    monkeypatch.setattr(audit_module, "LURES", audit_module.LURES[:1])
    monkeypatch.setattr(canaries_module, "ALTERNATIVES", 15)
    rising = (Gain(0.01 * n, 0.0, 0.1) for n in itertools.count())
    monkeypatch.setattr("tuning.run.paired_gain", lambda *arguments: next(rising))
    corpus = collect(repository)
    written = tune(base, corpus, None, replace(CONFIG, steps=2), ignore).written
    assert written is not None
    prompt = read_prompt(written)
    phases: list[str] = []
    result = audit(base, corpus, prompt, lambda progress: phases.append(progress.phase.code))
    assert list(dict.fromkeys(phases)) == ["generate", "retrain"]
    assert result.generated.places == 3
    figures = result.to_json()
    assert figures["passed"] == (not result.problems)
    assert figures["tensor_sha256"] == prompt.tensor_sha256
    manifest = replace(prompt.manifest, audit=figures)
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert replace(prompt, manifest=manifest).audited == figures["passed"]


def test_a_prompt_without_a_record_of_its_run_is_not_audited(
    base: DecoderModel, repository: Path
) -> None:
    """Nothing is guessed: canaries of another recipe would say nothing about this prompt."""
    prompt = prompt_of(base, "x = 1", "kv", steps=3)
    with pytest.raises(CorpusError, match="does not record its recipe completely"):
        audit(base, collect(repository), prompt, ignore)


def test_every_finding_is_a_problem() -> None:
    good = Audit(EmbeddedText(0.9, None), GeneratedText(48, 3, 2, 2, 1, None), NOTHING, "ab" * 32)
    assert good.problems == ()
    assert good.to_json()["passed"] is True
    for change in (
        {"embedded": EmbeddedText(0.0, "AWS Access Key")},
        {"generated": GeneratedText(48, 0, 0, 0, 0, "Private Key")},
        {"generated": GeneratedText(48, 9, 1, 8, 0, None)},
        {"canaries": CanaryScores((7.0,) * 8, (1.0,) * 8)},
    ):
        bad = replace(good, **change)  # type: ignore[arg-type]
        assert len(bad.problems) == 1
        assert bad.problems[0].endswith(".")
        assert bad.to_json()["passed"] is False
