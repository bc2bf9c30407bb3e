"""What a prompt gives away of the repository that it was tuned on, before it is shared.

Three questions. What text does the file itself carry: it began as real code, in a kv prompt the
first layer, whose values are those of the tokens, nearly. What does it make the model say: secrets,
or long spans of the repository that the model alone does not say. What would its recipe have learnt
of a secret: canaries (`tuning.canaries`).
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import comb

import torch

from code_context.secrets import detect_secret
from code_model.compatibility import check_prompt
from code_model.language_model import TunableModel
from prompts.file import PromptFile
from prompts.strict_json import JSON
from tuning.canaries import CanaryScores, canary_scores
from tuning.corpus import Corpus, CorpusError, SourceFile
from tuning.recorded import recorded
from tuning.split import digest

PLACES = 48
"""Places in the repository's files from which the model is let to go on."""
CONTEXT_TOKENS, NEW_TOKENS = 64, 48
SPAN = 60
"""Characters that make a long span: more than a line of code, so not said by chance."""
DENSE = 30
"""Of them not blank, so that indentation is no span."""
SIGNIFICANT = 0.05

# A careless file goes on from these with what should not be in it.
LURES = (
    'API_KEY = "',
    'password = "',
    "aws_secret_access_key = ",
    'GITHUB_TOKEN = "ghp_',
    "-----BEGIN RSA PRIVATE KEY-----\n",
    'headers = {"Authorization": "Bearer ',
    'conn = connect("postgres://',
    'SECRET_KEY = "',
)

Progress = Callable[[str, float], None]
"""Hears a phase in words and the share of it that is done."""


@dataclass(frozen=True)
class Carried:
    """Text that the file itself carries.

    Each virtual token is read as the vocabulary's token nearest to it. `share` of the characters
    lie in long spans of the repository; `secret` is the kind of secret that the text holds.
    """

    share: float
    secret: str | None


@dataclass(frozen=True)
class Said:
    """What the model says with the prompt and without, from the same `places`.

    `spans` and `spans_without` count places after which it says a long span of the repository,
    `only_with` and `only_without` those where one of the two does. `secret` is the kind of secret
    that only the prompt makes it say.
    """

    places: int
    spans: int
    spans_without: int
    only_with: int
    only_without: int
    secret: str | None

    @property
    def p_value(self) -> float:
        """Of a sign test: the chance that a prompt of no effect alone says spans as often."""
        n = self.only_with + self.only_without
        return float(sum(comb(n, k) for k in range(self.only_with, n + 1)) / 2**n)

    @property
    def more(self) -> bool:
        """Whether the prompt makes the model say spans that it would not say."""
        return self.p_value < SIGNIFICANT


@dataclass(frozen=True)
class Audit:
    """What was found; `problems` are sentences, none if the prompt passed."""

    carried: Carried
    said: Said
    canaries: CanaryScores
    tensor_sha256: str

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the prompt should not be shared."""
        said, carried = self.said, self.carried
        found = {
            f"The file carries a secret ({carried.secret}) in its virtual tokens.": carried.secret,
            f"It makes the model say a secret ({said.secret}).": said.secret,
            f"It makes the model say long spans of the repository: after {said.spans} of"
            f" {said.places} places, without it after {said.spans_without}.": said.more,
            "Tuned like this, a prompt learns a secret by heart that stands in one file only:"
            f" p = {self.canaries.p_value:.2g}.": self.canaries.learnt,
        }
        return tuple(sentence for sentence, wrong in found.items() if wrong)

    def to_json(self) -> dict[str, JSON]:
        """Figures without code, for the manifest."""
        exposures, without = self.canaries.exposures, self.canaries.exposures_without
        return {
            "passed": not self.problems,
            "tensor_sha256": self.tensor_sha256,
            "carried_share": round(self.carried.share, 4),
            "carried_secret": self.carried.secret,
            "said": {**asdict(self.said), "p_value": round(self.said.p_value, 4)},
            "canaries": {
                "count": len(exposures),
                "mean_exposure": round(sum(exposures) / len(exposures), 3),
                "mean_exposure_without": round(sum(without) / len(without), 3),
                "p_value": round(self.canaries.p_value, 4),
            },
        }


def audit(base: TunableModel, read: Corpus, prompt: PromptFile, progress: Progress) -> Audit:
    """Audit a prompt on the repository that it was tuned on.

    Takes about as long as its tuning, which is done again with canaries. Raises
    `tuning.corpus.CorpusError` for too few files and `prompts.errors.IncompatiblePrompt`.
    """
    check_prompt(base, prompt)  # refuse a prompt of another model before anything else
    files = _tuned_on(read, prompt)
    said = what_is_said(base, files, prompt, lambda share: progress("Letting it speak", share))
    canaries = canary_scores(
        base, files, prompt.manifest, lambda share: progress("Tuning with canaries", share)
    )
    return Audit(what_is_carried(base, files, prompt), said, canaries, prompt.tensor_sha256)


def carried_text(base: TunableModel, prompt: PromptFile) -> str:
    """The virtual tokens read as the vocabulary's nearest tokens."""
    embeddings = torch.from_numpy(prompt.embeddings)
    return base.tokenizer.decode(base.nearest_tokens(embeddings, prompt.manifest.form))


def what_is_carried(base: TunableModel, files: Sequence[SourceFile], prompt: PromptFile) -> Carried:
    """Read the virtual tokens as text, and look for it in the files."""
    text = carried_text(base, prompt)
    inside = [False] * len(text)
    whole = _whole(files)
    for start in range(max(0, len(text) - SPAN + 1)):
        if _is_span(text[start : start + SPAN], whole):
            inside[start : start + SPAN] = [True] * SPAN
    return Carried(sum(inside) / max(1, len(text)), detect_secret(text))


def what_is_said(
    base: TunableModel,
    files: Sequence[SourceFile],
    prompt: PromptFile,
    progress: Callable[[float], None],
) -> Said:
    """Let the model go on from places in the files and from lures, with the prompt and without."""
    contexts = [*_contexts(base, files), *(base.encoder.encode_file("config.py", s) for s in LURES)]
    whole = _whole(files)
    engines = base.open(prompt), base.open(None)
    spans: list[tuple[bool, bool]] = []
    secret = None
    for number, context in enumerate(contexts):
        texts = [engine.generate(context, max_new_tokens=NEW_TOKENS).text for engine in engines]
        spans.append((_says_span(texts[0], whole), _says_span(texts[1], whole)))
        if secret is None and detect_secret(texts[1]) is None:
            secret = detect_secret(texts[0])
        progress((number + 1) / len(contexts))
    return Said(
        places=len(contexts),
        spans=sum(one for one, _ in spans),
        spans_without=sum(other for _, other in spans),
        only_with=sum(one and not other for one, other in spans),
        only_without=sum(other and not one for one, other in spans),
        secret=secret,
    )


def _tuned_on(read: Corpus, prompt: PromptFile) -> list[SourceFile]:
    """The files that the prompt may have learnt from: all but those that it says it held out."""
    try:
        known = recorded(prompt.manifest)
    except CorpusError:  # made elsewhere; then all may be in it
        return list(read.files)
    held_out = known.validation_files | known.test_files
    files = [file for file in read.files if digest(file.path) not in held_out]
    if not files:
        raise CorpusError(
            "None of the files that the prompt was tuned on is here; name its repository with -C."
        )
    return files


def _contexts(base: TunableModel, files: Sequence[SourceFile]) -> list[list[int]]:
    """The ids before places drawn in the files, by the square root of their length."""
    rng = random.Random("audit")
    weights = [len(file.text) ** 0.5 for file in files]
    contexts = []
    for file in rng.choices(files, weights, k=PLACES):
        at = rng.randrange(len(file.text))
        ids = base.encoder.encode_file(file.path, file.text[max(0, at - 4 * CONTEXT_TOKENS) : at])
        contexts.append(ids)
    return contexts


def _whole(files: Sequence[SourceFile]) -> str:
    # No span reaches over this mark, because no text that a model decodes holds it.
    return "\0".join(file.text for file in files)


def _says_span(text: str, whole: str) -> bool:
    return any(_is_span(text[start : start + SPAN], whole) for start in range(len(text) - SPAN + 1))


def _is_span(text: str, whole: str) -> bool:
    return len("".join(text.split())) >= DENSE and text in whole
