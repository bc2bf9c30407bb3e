"""The prompt-fit check: does a prompt make the text already in a file likelier?

A prompt is tuned for one repository and costs accuracy in front of code that is unlike it. The
file's own text shows this: where it is less likely behind the prompt than without it, so is what
follows, and the prompt does not serve there (docs/experiments.md has how well this separates).
"""

from collections.abc import Callable

from code_model.language_model import ScoredIds, Session
from prompts.file import PromptFile

TOKENS = 768  # 384 are too small a part of a file to judge it by (docs/experiments.md)
LEAST_TOKENS = 64  # with fewer, the result is noise and the prompt serves


def gain_on(
    session_of: Callable[[PromptFile | None], Session],
    prompt: PromptFile,
    path: str,
    text: str,
    cancelled: Callable[[], bool] = lambda: False,
) -> float | None:
    """The share of nats that the prompt saves on text from the middle of the file `path`.

    The path stands in front, as in tuning, but is not scored: a prompt makes its repository's
    paths likely, whatever the files hold. None if the text is too short to judge. `session_of`
    gives a session behind a prompt, and without one; what they have cached stays as it is.

    Raises `code_model.cancel.StepCancelledError` soon after `cancelled` returns true, and
    `prompts.errors.IncompatiblePrompt`, and what else `Session.score` raises.
    """
    without, behind = session_of(None), session_of(prompt)
    model = without.model
    head = model.encoder.encode_file(path, "")
    virtual = max(without.num_virtual_tokens, behind.num_virtual_tokens)
    room = model.max_positions - virtual - len(head)
    ids = model.tokenizer.encode(_middle(text.replace("\r\n", "\n")))[: min(TOKENS, room)]
    if len(ids) < LEAST_TOKENS:
        return None
    sequence = ScoredIds([*head, *ids], len(ids))
    (nats_behind,) = behind.score([sequence], cancelled)  # first, since an engine may refuse it
    (nats_without,) = without.score([sequence], cancelled)
    return 1.0 - sum(nats_behind) / sum(nats_without)


def misfit(prompt: PromptFile, gain: float | None) -> str | None:
    """Why the prompt does not serve a file where it has this `gain`, None where it does."""
    if gain is None or gain >= 0:
        return None
    more = f"with it, what is written there takes {-100 * gain:.1f} % more bits"
    return f"prompt {prompt.manifest.name} does not fit this file: {more}"


def _middle(text: str) -> str:
    """Lines from the middle of a text, enough for `TOKENS`; all of a short one."""
    if len(text) <= 6 * TOKENS:
        return text
    start = text.rfind("\n", 0, (len(text) - 4 * TOKENS) // 2) + 1
    return text[start : start + 8 * TOKENS]
