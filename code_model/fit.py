"""Whether a prompt fits an open file, told by what already stands there.

A prompt is tuned for one repository, and costs in front of code that is nothing like it. The file's
own text tells: where it is less likely behind the prompt than without it, so is what is to come,
and the prompt does not serve (docs/experiments.md has how well that sorts).
"""

import torch
import torch.nn.functional as F

from code_model.cancel import Cancel, StepCancelledError
from code_model.decoder.llama import KVCache, PrefixKV
from code_model.decoder.soft_prompt import prefix_kv
from code_model.loading import BaseModel
from prompts.file import PromptFile

TOKENS = 768  # 384 judge a file by too small a part of it (docs/experiments.md)
LEAST_TOKENS = 64  # fewer say nothing, and the prompt gets the benefit of the doubt
CHUNK = 64  # tokens whose logits exist at the same time


def gain_on(
    base: BaseModel, prompt: PromptFile, path: str, text: str, cancel: Cancel | None = None
) -> float | None:
    """The share of nats that the prompt saves on text from the middle of the file `path`.

    The path stands before it, as in tuning, and is not counted: a prompt knows its repository's
    paths, whatever the files hold. None where there is too little text to tell. Raises
    `code_model.cancel.StepCancelledError` when a layer would begin after `cancel` was raised, and
    `prompts.errors.IncompatiblePrompt`.
    """
    known = base.encoder.encode_file(path, "")
    prefixes = [prefix_kv(base, one) for one in (None, prompt)]
    positions = base.model.config.max_position_embeddings
    room = positions - max(prefix.tokens for prefix in prefixes) - len(known)
    ids = base.tokenizer.encode(_middle(text.replace("\r\n", "\n")))[: min(TOKENS, room)]
    if len(ids) < LEAST_TOKENS:
        return None
    without, behind = (_nats(base, prefix, known, ids, cancel) for prefix in prefixes)
    return 1.0 - behind / without


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


@torch.inference_mode()
def _nats(
    base: BaseModel, prefix: PrefixKV, known: list[int], ids: list[int], cancel: Cancel | None
) -> float:
    """Of `ids` behind the prefix and `known`, in float32."""
    given = torch.tensor([*known, *ids])
    cache = KVCache(base.model.config, prefix.tokens + len(given), torch.float32)
    cache.load_prefix(prefix)
    hidden = base.forward.torch.hidden(base.model.model.embed_tokens(given[:-1]), cache, cancel)
    rows = torch.split(hidden[-len(ids) :], CHUNK)
    total = 0.0
    for part, targets in zip(rows, torch.split(given[-len(ids) :], CHUNK), strict=True):
        if cancel is not None and cancel():
            raise StepCancelledError
        logits = base.model.logits(part)
        total += float(F.cross_entropy(logits, targets, reduction="sum"))
    return total
