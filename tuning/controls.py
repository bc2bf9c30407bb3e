"""Prompts that every proof compares with: of two other repositories, and of generic code.

They are shipped for the default model, tuned by the default recipe on packages that it has not
seen, and on modules of the standard library (`generic`). Another model has none.
"""

from collections.abc import Sequence
from pathlib import Path

from code_model.language_model import LanguageModel
from prompts.file import SUFFIX, PromptFile, read_prompt
from prompts.manifest import ModelIdentity
from tuning.proof import GENERIC, OTHER, EvaluationCondition

FOLDER = Path(__file__).with_name("controls")
GENERIC_NAME = "standard-library"


def shipped(identity: ModelIdentity) -> tuple[PromptFile, ...]:
    """The controls of that model, sorted by name; none for a model that we do not ship."""
    found = (read_prompt(path) for path in sorted(FOLDER.glob(f"*{SUFFIX}")))
    return tuple(one for one in found if one.manifest.model == identity)


def control_ways(
    base: LanguageModel, repository: str, against: Sequence[PromptFile] = ()
) -> dict[str, EvaluationCondition]:
    """By arm: the prompts `against` that somebody names, then those shipped, but for one of a
    repository of the same name."""
    ways = {OTHER + one.manifest.name: EvaluationCondition(base, one) for one in against}
    for one in shipped(base.identity):
        name = one.manifest.name
        if name == GENERIC_NAME:
            ways[GENERIC] = EvaluationCondition(base, one)
        elif name != repository:
            ways.setdefault(OTHER + name, EvaluationCondition(base, one))
    return ways
