"""What a tuning run works on: a model, a repository's files on three sides, and the recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from torch import Tensor

from code_context.context import ContextConfig
from code_context.retrieval import Retriever
from code_model.compatibility import context_of
from code_model.language_model import TunableModel
from prompts.file import PromptFile, check_compatible, read_prompt, sha256_of
from prompts.manifest import Manifest
from tuning import checkpoint
from tuning.acceptance import Place, sample_places
from tuning.config import TuningConfig
from tuning.corpus import Corpus, SourceFile
from tuning.examples import HeldOutHole, TrainingExamples, held_out_holes, indexed
from tuning.history import changed_since, newest_lines
from tuning.pruning import DOCUMENTS, prune
from tuning.recorded import recorded_config, recorded_split
from tuning.split import Split, included, split

DECAY_CHARACTERS = 1_000_000  # to tune on: there the recipe's weight decay is applied as it is
MIN_CHARACTERS = 250_000  # with fewer, the decay grows no further: it would leave nothing to learn


@dataclass(frozen=True)
class Job:
    """The input of every phase of a run.

    `newest` holds the lines (from 0) of the newest commits by file. A refresh has the `present`
    prompt to start from, and its ancestors in `lineage`. The prompt is tuned and served with
    `context`.
    """

    model: TunableModel
    corpus: Corpus
    config: TuningConfig
    split: Split
    newest: Mapping[str, set[int]]
    context: ContextConfig
    present: PromptFile | None = None
    lineage: tuple[str, ...] = ()

    def room(self, tokens: int) -> int:
        """`tokens`, or fewer if the model's positions behind the prompt allow no more."""
        return min(tokens, self.model.max_positions - self.config.num_virtual_tokens)

    @cached_property
    def examples(self) -> TrainingExamples:
        """The examples to tune on. Initialisation and training draw the same ones."""
        config, train = self.config, self.split.train
        return TrainingExamples(
            self.model,
            train,
            config=config,
            room=self.room(config.max_tokens),
            changed=self._changed(),
            # of the files to tune on only: held-out code must not be seen in front of a hole either
            others=indexed(train) if config.retrieved else None,
            context=self.context,
        )

    def pruned(self, prompt_embeddings: Tensor) -> Tensor:
        """What the prompt file keeps of tuned prompt embeddings (P, width): as many rows as the
        recipe says (`tuning.pruning`)."""
        documents = (self.examples[number].ids for number in range(DOCUMENTS))
        count = max(1, round(self.config.keep_ratio * len(prompt_embeddings)))
        return prune(self.model, prompt_embeddings, documents, self.config.form, count)

    @property
    def weight_decay(self) -> float:
        """The recipe's weight decay, scaled to the size of the repository.

        Decay towards the start is a prior, which counts the less the more data there is.
        """
        characters = sum(len(file.text) for file in self.split.train)
        return self.config.weight_decay * DECAY_CHARACTERS / max(MIN_CHARACTERS, characters)

    def validation_holes(self) -> list[HeldOutHole]:
        """The holes by which the prompt is selected."""
        return held_out_holes(
            self.model,
            self.split.validation,
            config=self.context,
            room=self.room(self.config.held_out_tokens),
            count=self.config.validation_holes,
            seed=self.config.seed,
            task=self.config.task,
            others=self.retriever if self.config.retrieved else None,
        )

    def test_holes(self, others: Retriever | None = None) -> list[HeldOutHole]:
        """The holes of the proof; with `others`, each has a second form with retrieved code."""
        return held_out_holes(
            self.model,
            self.split.test,
            config=self.context,
            room=self.room(self.config.held_out_tokens),
            count=self.config.test_holes,
            seed=self.config.seed + 1,
            task=self.config.task,
            newest=self.newest,
            others=others,
        )

    @cached_property
    def retriever(self) -> Retriever:
        """Cross-file retrieval in the whole repository, as the editor has it."""
        return indexed(self.corpus.files)

    def places(self, files: Sequence[SourceFile], count: int) -> list[Place]:
        """At most `count` places of `files` to complete at; none for a task of its own."""
        if self.config.task != "completion":
            return []
        return sample_places(files, count, self.config.seed)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that the run depends on: a checkpoint of another run is ignored.

        With Attune's version, because offsets mean nothing on another start.
        """
        return checkpoint.fingerprint(
            {
                "attune": version("attune"),
                "config": asdict(self.config),
                "model": asdict(self.model.identity),
                "context": asdict(self.context),
                "files": [
                    [side, *((file.path, file.text) for file in files)]
                    for side, files in vars(self.split).items()
                ],
                "lineage": self.lineage,
            }
        )

    def _changed(self) -> set[str]:
        """For a refresh: the files that changed since the present prompt was tuned."""
        commit = None if self.present is None else self.present.manifest.commit
        if commit is None:
            return set()
        return set(changed_since(self.corpus.root, commit) or ())


def new_job(model: TunableModel, corpus: Corpus, config: TuningConfig) -> Job:
    """The job of a first prompt. Raises `tuning.corpus.CorpusError` for too few files."""
    newest = newest_lines(corpus.root, [file.path for file in corpus.files])
    sides = split(included(corpus.files, config.include), config.seed, newest)
    return Job(model, corpus, config, sides, newest, ContextConfig())


def recorded_job(model: TunableModel, corpus: Corpus, manifest: Manifest) -> Job:
    """The job that made a prompt, from what its file records: recipe, split, context, globs, task.

    Raises `tuning.corpus.CorpusError` for an incomplete record or missing files, and
    `prompts.errors.IncompatiblePrompt`.
    """
    check_compatible(manifest, model.identity)
    config = recorded_config(manifest)
    sides = recorded_split(included(corpus.files, manifest.globs), manifest)
    newest = newest_lines(corpus.root, [file.path for file in corpus.files])
    return Job(model, corpus, config, sides, newest, context_of(manifest))


def refresh_job(model: TunableModel, corpus: Corpus, config: TuningConfig, present: Path) -> Job:
    """The job of a refresh: the recorded job of the `present` prompt, for the time or the steps of
    `config`. Raises as `recorded_job`, and `prompts.errors.PromptFileError`."""
    before = read_prompt(present)
    job = recorded_job(model, corpus, before.manifest)
    again = replace(
        job.config,
        num_virtual_tokens=before.manifest.num_virtual_tokens,
        keep_ratio=1.0,
        minutes=config.minutes,
        steps=config.steps,
    )
    return replace(
        job,
        config=again,
        present=before,
        lineage=(*before.manifest.lineage, sha256_of(present)),
    )
