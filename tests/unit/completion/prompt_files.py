"""Prompt files for tests: real tokens as a soft prompt."""

import dataclasses

import numpy as np

from code_model.decoder.model import DecoderModel
from code_model.decoder.soft_prompt import kv_of_ids, kv_to_rows
from prompts.file import PromptFile
from prompts.manifest import Manifest

WITHOUT_PROMPT = 'Ready without a prompt: there is none yet; run "attune tune" in this repository.'


def prompt_of(base: DecoderModel, text: str = "class Reader:\n", **changes: object) -> PromptFile:
    """The keys and values of `text` as a proven prompt file; `changes` to its manifest."""
    ids = base.tokenizer.encode(text)
    rows = kv_to_rows(kv_of_ids(base.llama, ids)).numpy()
    manifest = Manifest(
        name="space",
        form="kv",
        num_virtual_tokens=len(ids),
        model=base.identity,
        attune_version="0.1.0",
        measured={"proven": True, "gain": 0.0421},
    )
    return PromptFile(
        dataclasses.replace(manifest, **changes), np.ascontiguousarray(rows, dtype=np.float32)
    )
