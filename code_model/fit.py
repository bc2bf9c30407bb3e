"""Whether a prompt fits an open file, told by what already stands there.

A prompt is tuned for one repository, and costs in front of code that is nothing like it. The text
around the cursor tells: where it is less likely behind the prompt than without it, so is what is
to come, and the prompt does not serve (docs/experiments.md has how well that sorts).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from code_context.syntax import SyntaxTree
from code_model.cancel import Cancel
from code_model.completion import model_input
from code_model.llama import KVCache
from code_model.loading import BaseModel
from code_model.soft_prompt import context_of, prefix_kv
from prompts.file import PromptFile

TOKENS = 384  # around the cursor; more cost time and say little more
LEAST_TOKENS = 64  # fewer say nothing, and the prompt gets the benefit of the doubt
CHUNK = 128  # tokens whose logits exist at the same time


def gain_here(
    base: BaseModel,
    prompt: PromptFile,
    tree: SyntaxTree,
    path: str,
    offset: int,
    cancel: Cancel | None = None,
) -> float | None:
    """The share of nats that the prompt saves on the text around `offset` of the file `path`.

    Of the file alone: code of other files is the repository's, whatever this file is. None where
    there is too little text to tell. Raises `code_model.cancel.StepCancelledError` when a layer
    would begin after `cancel` was raised, and `prompts.errors.IncompatiblePrompt`.
    """
    config = context_of(prompt.manifest)
    ids = model_input(base, tree, path, offset, config=config, room=TOKENS)
    if len(ids) < LEAST_TOKENS:
        return None
    without, with_prompt = (
        _nats(base, prefix_kv(base, one), ids, cancel) for one in (None, prompt)
    )
    return 1.0 - with_prompt / without


def misfit(prompt: PromptFile, gain: float | None) -> str | None:
    """Why the prompt does not serve a file where it has this `gain`, None where it does."""
    if gain is None or gain >= 0:
        return None
    more = f"with it, what is written there takes {-100 * gain:.1f} % more bits"
    return f"prompt {prompt.manifest.name} does not fit this file: {more}"


@torch.inference_mode()
def _nats(base: BaseModel, prefix: Tensor, ids: list[int], cancel: Cancel | None) -> float:
    """Of all ids but the first behind the prefix (L, 2, G, P, D), in float32."""
    cache = KVCache(base.model.config, prefix.shape[3] + len(ids), torch.float32)
    cache.load_prefix(prefix)
    known = torch.tensor(ids)
    hidden = base.forward.torch.hidden(base.model.model.embed_tokens(known[:-1]), cache, cancel)
    parts = zip(torch.split(hidden, CHUNK), torch.split(known[1:], CHUNK), strict=True)
    return sum(
        float(F.cross_entropy(base.model.logits(rows), targets, reduction="sum"))
        for rows, targets in parts
    )
