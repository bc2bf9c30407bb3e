"""The whole of `attune tune`: read, split, tune, prove, write; and `attune eval`: prove again."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from code_context.context import ContextConfig
from code_model.loading import BaseModel
from code_model.soft_prompt import kv_of_ids, kv_to_rows, prefix_kv
from prompts.errors import PromptWriteError
from prompts.file import DEFAULT_PROMPT, SUFFIX, PromptFile, write_prompt
from prompts.manifest import Manifest
from prompts.repository import unproven_path
from tuning import corpus
from tuning.evaluate import Gain, middle_nats, paired_gain
from tuning.examples import held_out_holes, training_examples
from tuning.prefix import initial_ids
from tuning.proof import NO_PROMPT, THIS_PROMPT, Proof, prove, test_holes
from tuning.train import MAX_SEED, Check, Tuned, TuningConfig, train

# phase in words, share of it done, the latest look at the validation files
Progress = Callable[[str, float, Check | None], None]


@dataclass(frozen=True)
class Report:
    """What a run found. `proof` is None when Ctrl-C came before it; `written` when nothing was."""

    repository: str
    files: dict[str, int]
    left_out: dict[str, int]
    steps: int
    seconds: float
    interrupted: bool
    checks: tuple[Check, ...]
    proof: Proof | None
    proven: bool
    written: Path | None

    def to_json(self) -> dict[str, Any]:
        """The figures, without samples of code."""
        return {
            "repository": self.repository,
            "files": self.files,
            "left_out": self.left_out,
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
            "interrupted": self.interrupted,
            "validation": [
                {"step": check.step, "gain": round(check.gain.mean, 5)} for check in self.checks
            ],
            "proof": None if self.proof is None else self.proof.to_json(),
            "proven": self.proven,
            "written": None if self.written is None else str(self.written),
        }


def tune(
    base: BaseModel,
    read: corpus.Corpus,
    out: Path | None,
    config: TuningConfig,
    progress: Progress,
) -> Report:
    """Tune a prompt on a repository; write it to `out` if the test files prove it, else beside.

    Ctrl-C ends the run at once: the best prompt so far is kept only if the validation files had
    proved it already.

    Raises `tuning.corpus.CorpusError` if there are too few files, and
    `prompts.errors.PromptWriteError` if the result cannot be written, which is tried before the
    time is spent.
    """
    began = time.monotonic()
    repository = read.root
    target = out or repository / DEFAULT_PROMPT
    split = corpus.split(read.files, config.seed)
    with _writable(target):
        start = kv_of_ids(base.model, initial_ids(base, split.train, config.num_virtual_tokens))
        tuned = _train(base, split, start, config, progress)
        draft = _prompt_file(base, tuned.prefix, repository, tuned, config, measured={})
        proof = None
        if not tuned.interrupted:
            try:
                untrained = _prompt_file(base, start, repository, tuned, config, measured={})
                proof = prove(
                    base,
                    test_holes(
                        base,
                        split.test,
                        room=_room(base, config, config.held_out_tokens),
                        count=config.test_holes,
                        seed=config.seed,
                    ),
                    {NO_PROMPT: None, "untrained prompt": untrained, THIS_PROMPT: draft},
                    config.seed,
                    lambda fraction: progress("Proving it on unseen files", fraction, tuned.best),
                )
            except KeyboardInterrupt:
                tuned.interrupted = True
        proven = proof.gain.proven if proof else tuned.best.gain.proven
        written = None
        if proof is not None or proven:
            measured = proof.to_json() if proof else _validated(tuned.best.gain)
            written = target if proven else unproven_path(target)
            manifest = replace(draft.manifest, measured=measured)
            write_prompt(written, PromptFile(manifest, draft.embeddings))
    return Report(
        repository=repository.name,
        files={
            "train": len(split.train),
            "validation": len(split.validation),
            "test": len(split.test),
        },
        left_out=read.left_out,
        steps=tuned.steps,
        seconds=time.monotonic() - began,
        interrupted=tuned.interrupted,
        checks=tuple(tuned.checks),
        proof=proof,
        proven=proven,
        written=written,
    )


def evaluate(
    base: BaseModel, read: corpus.Corpus, prompt: PromptFile, progress: Callable[[float], None]
) -> Proof:
    """Prove a prompt on the files of a repository that its tuning held out, as far as they exist.

    Raises `tuning.corpus.CorpusError` for too few files or a prompt that does not say which files
    it held out, and `prompts.errors.IncompatiblePrompt`.
    """
    prefix_kv(base, prompt)  # refuse a prompt of another model before anything else
    config = _recorded(prompt.manifest)
    split = corpus.split(read.files, config.seed)
    holes = test_holes(
        base,
        split.test,
        room=_room(base, config, config.held_out_tokens),
        count=config.test_holes,
        seed=config.seed,
    )
    return prove(base, holes, {NO_PROMPT: None, THIS_PROMPT: prompt}, config.seed, progress)


def _recorded(manifest: Manifest) -> TuningConfig:
    """The part of the recipe that decides which holes are measured, as the prompt file says it.

    A file from elsewhere may say anything. Measured on other files than those held out, a prompt
    would look better than it is, so nothing is guessed.
    """
    known = {}
    for name, largest in (("seed", MAX_SEED), ("held_out_tokens", 4096), ("test_holes", 4096)):
        value = manifest.recipe.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest:
            raise corpus.CorpusError(
                f"Prompt {manifest.name!r} does not say in its recipe which files it held out "
                f"({name}), so it cannot be measured; tune it again."
            )
        known[name] = value
    return TuningConfig(num_virtual_tokens=manifest.num_virtual_tokens, **known)


def _room(base: BaseModel, config: TuningConfig, tokens: int) -> int:
    """Tokens of the longest example: what the recipe allows and the model's positions leave."""
    left = base.model.config.max_position_embeddings - config.num_virtual_tokens
    return min(tokens, left)


def _train(
    base: BaseModel, split: corpus.Split, start: Tensor, config: TuningConfig, progress: Progress
) -> Tuned:
    context = ContextConfig()
    validation = held_out_holes(
        base,
        split.validation,
        config=context,
        room=_room(base, config, config.held_out_tokens),
        count=config.validation_holes,
        seed=config.seed,
    )
    examples = [hole.example for hole in validation]
    without = middle_nats(base.model, prefix_kv(base, None), examples)

    def validate(prefix: Tensor) -> Gain:
        nats = middle_nats(base.model, prefix, examples)
        return paired_gain(without, nats, validation, config.seed)

    torch.manual_seed(config.seed)
    return train(
        base.model,
        start,
        training_examples(
            base,
            split.train,
            config=context,
            room=_room(base, config, config.max_tokens),
            left_to_right=config.left_to_right,
            seed=config.seed,
        ),
        validate,
        config,
        lambda fraction, check: progress("Tuning", fraction, check),
    )


def _prompt_file(
    base: BaseModel,
    prefix: Tensor,
    repository: Path,
    tuned: Tuned,
    config: TuningConfig,
    measured: dict[str, Any],
) -> PromptFile:
    manifest = Manifest(
        name=repository.name or "repository",
        form="kv",
        num_virtual_tokens=config.num_virtual_tokens,
        model=base.identity,
        languages=("python",),
        repository=repository.name,
        commit=corpus.commit_of(repository),
        recipe={
            "seed": config.seed,
            "steps": tuned.best.step,
            "learning_rate": config.learning_rate,
            "examples_per_step": config.examples_per_step,
            "left_to_right": config.left_to_right,
            "max_tokens": config.max_tokens,
            "held_out_tokens": config.held_out_tokens,
            "test_holes": config.test_holes,
        },
        measured=measured,
        attune_version=version("attune"),
    )
    return PromptFile(manifest, kv_to_rows(prefix).contiguous().numpy())


def _validated(gain: Gain) -> dict[str, Any]:
    """What an interrupted run can claim: the validation files chose the prompt and proved it."""
    return {
        "gain": round(gain.mean, 5),
        "gain_low": round(gain.low, 5),
        "gain_high": round(gain.high, 5),
        "proven": gain.proven,
        "interrupted": True,
    }


@contextmanager
def _writable(target: Path) -> Iterator[None]:
    """Find out that `target` cannot be written before minutes are spent; leave no empty folder."""
    if not target.name.endswith(SUFFIX):
        raise PromptWriteError(
            f"{target.name} does not end with {SUFFIX}; give the prompt file such a name."
        )
    if target.is_dir():
        raise PromptWriteError(f"{target} is a folder; name a file with --out.")
    missing = [folder for folder in (target.parent, *target.parents) if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        probe = target.with_name(".attune-probe.tmp")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise PromptWriteError(
            f"{target.parent} cannot be written ({error.strerror}); "
            "choose another place with --out."
        ) from error
    try:
        yield
    finally:
        for folder in missing:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
