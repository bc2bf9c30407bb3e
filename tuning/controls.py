"""Control prompts that every proof compares with: of two other repositories, and of generic code.

They are shipped for the default model, tuned by the default recipe on packages that it was not
trained on, and on modules of the standard library (`generic`). Other models have none.
"""

from collections.abc import Sequence
from pathlib import Path

from code_model.language_model import LanguageModel
from prompts.file import SUFFIX, PromptFile, read_prompt
from prompts.manifest import ModelIdentity
from tuning.proof import GENERIC, OTHER, Condition

FOLDER = Path(__file__).with_name("controls")
GENERIC_NAME = "standard-library"


def shipped(identity: ModelIdentity) -> tuple[PromptFile, ...]:
    """The controls of that model, sorted by name; none for a model that we do not ship."""
    prompts = (read_prompt(path) for path in sorted(FOLDER.glob(f"*{SUFFIX}")))
    return tuple(prompt for prompt in prompts if prompt.manifest.model == identity)


def control_conditions(
    model: LanguageModel, repository: str, against: Sequence[PromptFile] = ()
) -> dict[str, Condition]:
    """Conditions by name: the user's prompts `against`, then those shipped, except one of a
    repository of the same name."""
    conditions = {OTHER + prompt.manifest.name: Condition(model, prompt) for prompt in against}
    for prompt in shipped(model.identity):
        name = prompt.manifest.name
        if name == GENERIC_NAME:
            conditions[GENERIC] = Condition(model, prompt)
        elif name != repository:
            conditions.setdefault(OTHER + name, Condition(model, prompt))
    return conditions
