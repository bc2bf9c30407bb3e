"""Byte-level BPE for code: a newline with its indentation is one unit, digits stand alone."""

import random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from code_model.fim import ATTUNE
from pretraining.corpus import Document

PATTERN = r"\r?\n[ \t]*| ?[\p{L}_]+|\p{N}| ?[^\s\p{L}\p{N}_]+|[ \t]+|\s"


def special_tokens() -> list[str]:
    """The layout's special tokens, `<|endoftext|>` first."""
    named = (ATTUNE.beginning, ATTUNE.prefix, ATTUNE.suffix, ATTUNE.middle, ATTUNE.file_separator)
    return [token for token in named if token]


def train(documents: list[Document], vocab_size: int, sample_bytes: int, seed: int) -> Tokenizer:
    """Train on a random sample of the documents."""
    order = list(documents)
    random.Random(seed).shuffle(order)
    sample, size = [], 0
    for document in order:
        sample.append(document.text)
        size += len(document.text)
        if size >= sample_bytes:
            break
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special_tokens(),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=24,
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample, trainer)
    return tokenizer
