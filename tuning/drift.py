"""Drift: what a repository's prompt still gains on the lines that changed since it was tuned.

Cheap: git lists the changed lines, and a few holes in them are scored. The prompt has not seen
those lines, whichever side of its split their files were on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from code_model.compatibility import context_of
from code_model.language_model import LanguageModel
from prompts.file import PromptFile
from prompts.manifest import Manifest
from tuning.config import TuningConfig
from tuning.corpus import Corpus, CorpusError, SourceFile
from tuning.evaluate import Gain, paired_gain, total_nats
from tuning.examples import held_out_holes
from tuning.history import changed_since, commits_since

HOLES = 48
REFRESH_BELOW = 0.5  # of the proven gain


@dataclass(frozen=True)
class Drift:
    """`changed_files` of `files` changed in the `commits` since; `gain` is on changed lines.

    `gain` and `proven_gain` are shares of bits saved; None where nothing can be measured.
    """

    commits: int | None
    files: int
    changed_files: int
    changed_lines: int
    holes: int
    gain: Gain | None
    proven_gain: float | None

    @property
    def drifted(self) -> bool:
        """Whether a refresh is due."""
        if self.gain is None or self.proven_gain is None:
            return False
        return self.gain.mean < REFRESH_BELOW * self.proven_gain

    @property
    def advice(self) -> str:
        """What to do, in one sentence."""
        if not self.changed_files:
            return "Nothing has changed since the prompt was tuned."
        if self.gain is None:
            return "The changed lines have no code to measure the prompt on."
        if self.drifted:
            return "The prompt helps less on what changed; run `attune tune --refresh`."
        return "The prompt still helps on what changed."

    def to_json(self) -> dict[str, Any]:
        """The figures and the advice."""
        return {
            "commits": self.commits,
            "files": self.files,
            "changed_files": self.changed_files,
            "changed_lines": self.changed_lines,
            "holes": self.holes,
            "gain": None if self.gain is None else round(self.gain.mean, 5),
            "proven_gain": self.proven_gain,
            "drifted": self.drifted,
            "advice": self.advice,
        }


def changed_files(
    corpus: Corpus, manifest: Manifest
) -> tuple[tuple[SourceFile, ...], dict[str, set[int]]]:
    """Files with lines that are newer than the prompt, and those lines (from 0).

    Raises `CorpusError` where git cannot say what changed.
    """
    if manifest.commit is None:
        raise CorpusError(
            f"Prompt {manifest.name!r} was tuned outside of git, so what has "
            "changed since is unknown; tune it again in a git repository."
        )
    lines = changed_since(corpus.root, manifest.commit)
    if lines is None:
        raise CorpusError(
            f"Commit {manifest.commit[:12]} of prompt {manifest.name!r} is not known in "
            f"{corpus.root}; fetch the repository's history, or tune again."
        )
    return tuple(file for file in corpus.files if lines.get(file.path)), lines


def drift_of(
    model: LanguageModel, corpus: Corpus, prompt: PromptFile, progress: Callable[[float], None]
) -> Drift:
    """Measure a prompt on the lines that changed since; `progress` is called with the share done.

    Raises `CorpusError` where git cannot say what changed, and
    `prompts.errors.IncompatiblePrompt`.
    """
    session = model.open(prompt)
    manifest = prompt.manifest
    files, lines = changed_files(corpus, manifest)
    room = min(
        TuningConfig.held_out_tokens,
        model.max_positions - manifest.num_virtual_tokens,
    )
    candidates = held_out_holes(
        model,
        files,
        config=context_of(manifest),
        room=room,
        count=max(HOLES, 2 * len(files)),  # not all begin in lines that changed
        seed=0,
        newest=lines,
    )
    holes = [hole for hole in candidates if hole.newest][:HOLES]
    gain = None
    if holes:
        examples = [hole.example for hole in holes]
        without = total_nats(model.open(None).score(examples))
        progress(0.5)
        gain = paired_gain(without, total_nats(session.score(examples)), holes, 0)
    progress(1.0)
    proven_gain = manifest.measured.get("gain")
    return Drift(
        commits=commits_since(corpus.root, manifest.commit or ""),
        files=len(corpus.files),
        changed_files=len(files),
        changed_lines=sum(len(lines[file.path]) for file in files),
        holes=len(holes),
        gain=gain,
        proven_gain=proven_gain if isinstance(proven_gain, float) else None,
    )
