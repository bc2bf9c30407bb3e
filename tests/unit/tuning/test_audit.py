"""An audit finds what a prompt gives away, and passes one that gives nothing away."""

import dataclasses
import math

import numpy as np
import pytest

from code_model.decoder.model import DecoderModel
from code_model.decoder.soft_prompt import kv_of_ids, kv_to_rows
from prompts.file import PromptFile
from prompts.manifest import Manifest
from tests.conftest import TEXT
from tuning.audit import Audit, Carried, Said, audit, carried_text, what_is_carried, what_is_said
from tuning.canaries import (
    ALTERNATIVES,
    Canary,
    CanaryScores,
    exposed,
    plant,
    tuned_on,
)
from tuning.corpus import Corpus, SourceFile

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
    assert carried_text(base, prompt) == base.tokenizer.decode(base.tokenizer.encode(text)[:100])
    carried = what_is_carried(base, FILES, prompt)
    assert carried.secret == "AWS Access Key"
    own = what_is_carried(base, FILES, prompt_of(base, TEXT[:200], form))
    assert own.secret is None
    assert own.share > 0.9
    elsewhere = what_is_carried(base, [SourceFile("a.py", "x = 1\n")], prompt)
    assert elsewhere.share == 0.0


class Parrot:
    """A session that generates a given text with a prompt, and nothing without."""

    says = ""

    def __init__(self, prompt: PromptFile | None) -> None:
        self.text = "" if prompt is None else self.says

    def generate(self, ids: list[int], *, max_new_tokens: int) -> "Parrot":
        return self


@pytest.mark.parametrize(
    ("says", "more", "secret"),
    [
        (TEXT[60:200], True, None),
        ("    " * 40, False, None),
        ("def of_its_own(argument: int) -> int:\n    return argument + 1\n" * 3, False, None),
        (f'key = "{KEY}"', False, "AWS Access Key"),
    ],
)
def test_what_only_the_prompt_says_is_found(
    base: DecoderModel, monkeypatch: pytest.MonkeyPatch, says: str, more: bool, secret: str | None
) -> None:
    monkeypatch.setattr(Parrot, "says", says)
    monkeypatch.setattr(DecoderModel, "open", Parrot)
    files = [SourceFile("a.py", TEXT)]
    said = what_is_said(base, files, prompt_of(base, "x = 1", "kv"), lambda share: None)
    assert (said.more, said.secret) == (more, secret)
    assert said.spans_without == 0


def test_canaries_are_planted_once_each() -> None:
    planted, canaries = plant(FILES, seed=1)
    assert len(canaries) == 8
    whole = "".join(file.text for file in planted)
    texts = {file.path: file.text for file in planted}
    for canary in canaries:
        assert whole.count(canary.secret) == 1
        assert texts[canary.path].startswith(f'{canary.before}{canary.secret}"\n')
    assert plant(FILES, seed=1) == (planted, canaries)
    assert plant(FILES, seed=2)[1] != canaries


def test_exposure_of_what_was_not_planted_is_chance(base: DecoderModel) -> None:
    """The p-value is not small for texts that nothing was tuned on."""
    _, canaries = plant(FILES, seed=1)
    exposures = exposed(base, base.bare_prefix(), canaries, seed=1)
    assert all(0 <= bits <= math.log2(ALTERNATIVES + 1) for bits in exposures)
    assert not CanaryScores(exposures, exposures).learnt
    assert CanaryScores((7.0,) * 8, exposures).learnt
    assert not CanaryScores((7.0, *(0.5,) * 7), exposures).learnt


@pytest.mark.slow
def test_a_secret_that_is_learnt_by_heart_is_noticed(base: DecoderModel) -> None:
    """A recipe that sees nothing but one canary learns it, and the exposure says so."""
    canary = Canary("a.py", 'TOKEN = "', "q7x0k2m9v4b1n8z3")
    files = [SourceFile("a.py", f'{canary.before}{canary.secret}"\n' * 12)]
    manifest = prompt_of(base, TEXT, "kv", steps=150, learning_rate=0.1, seed=1).manifest
    prefix = tuned_on(base, files, dataclasses.replace(manifest, num_virtual_tokens=32), _ignore)
    exposures = exposed(base, prefix, [canary], seed=1)
    assert CanaryScores(exposures, exposures).learnt
    without = exposed(base, base.bare_prefix(), [canary], seed=1)
    assert not CanaryScores(without, without).learnt


def _ignore(*_: object) -> None:
    pass


@pytest.mark.slow
def test_the_whole_audit(base: DecoderModel) -> None:
    """With a recipe of few steps; strangers' recipes are bounded, not believed."""
    prompt = prompt_of(base, "x = 1\n" * 40, "kv", steps=3, learning_rate="much", seed=-1)
    read = Corpus(None, tuple(FILES))  # type: ignore[arg-type]
    found = audit(base, read, prompt, _ignore)
    told = found.to_json()
    assert told["passed"] == (not found.problems)
    assert told["tensor_sha256"] == prompt.tensor_sha256
    manifest = dataclasses.replace(prompt.manifest, audit=told)
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert dataclasses.replace(prompt, manifest=manifest).audited == told["passed"]


def test_every_finding_is_a_problem() -> None:
    good = Audit(Carried(0.9, None), Said(48, 3, 2, 2, 1, None), NOTHING, "ab" * 32)
    assert good.problems == ()
    assert good.to_json()["passed"] is True
    for change in (
        {"carried": Carried(0.0, "AWS Access Key")},
        {"said": Said(48, 0, 0, 0, 0, "Private Key")},
        {"said": Said(48, 9, 1, 8, 0, None)},
        {"canaries": CanaryScores((7.0,) * 8, (1.0,) * 8)},
    ):
        bad = dataclasses.replace(good, **change)  # type: ignore[arg-type]
        assert len(bad.problems) == 1
        assert bad.problems[0].endswith(".")
        assert bad.to_json()["passed"] is False
