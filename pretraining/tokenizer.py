"""Byte-level BPE for code: a newline with its indentation is one unit, each digit another."""

import random
from collections.abc import Sequence

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from code_model.fim_templates import ATTUNE
from pretraining.corpus import Document

# the pre-tokenizer of GPT-2 (openai/gpt-2, encoder.py), for comparison
GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
PATTERN = r"\r?\n[ \t]*| ?[\p{L}_]+|\p{N}| ?[^\s\p{L}\p{N}_]+|[ \t]+|\s"


def special_tokens() -> list[str]:
    """The special tokens of the FIM template, `<|endoftext|>` first."""
    named = (ATTUNE.beginning, ATTUNE.prefix, ATTUNE.suffix, ATTUNE.middle, ATTUNE.file_separator)
    return [token for token in named if token]


def train(
    documents: list[Document],
    vocab_size: int,
    sample_bytes: int,
    seed: int,
    pattern: str = PATTERN,
) -> Tokenizer:
    """Train on a random sample of `sample_bytes` characters; `pattern` splits text into units."""
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
            pre_tokenizers.Split(Regex(pattern), "isolated"),
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


def characters_per_token(tokenizer: Tokenizer, documents: Sequence[Document]) -> float:
    """Mean number of characters of a token, over all documents together."""
    texts = [document.text for document in documents]
    encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    return sum(map(len, texts)) / sum(len(encoding.ids) for encoding in encoded)
