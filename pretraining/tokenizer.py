"""Byte-level BPE for code: a newline with its indentation is one unit, each digit another."""

import random
from collections.abc import Iterable, Iterator

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
    documents: Iterable[Document],
    vocab_size: int,
    sample_bytes: int,
    seed: int,
    pattern: str = PATTERN,
) -> Tokenizer:
    """Train on a random sample of `sample_bytes` characters; `pattern` splits text into units."""
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
    tokenizer.train_from_iterator(_sample(documents, sample_bytes, seed), trainer)
    return tokenizer


def _sample(documents: Iterable[Document], size: int, seed: int) -> Iterator[str]:
    """Texts of random documents, `size` characters in all, and of each language as many.

    A language that has fewer gives all it has; so none is drowned by the largest.
    """
    by_language = _by_language(documents)
    for texts in by_language.values():
        random.Random(seed).shuffle(texts)
        left = size / len(by_language)
        for text in texts:
            if left <= 0:
                break
            yield text
            left -= len(text)


def characters_per_token(tokenizer: Tokenizer, documents: Iterable[Document]) -> dict[str, float]:
    """Mean number of characters of a token in the documents of each language."""
    means = {}
    for language, texts in _by_language(documents).items():
        encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        means[language] = sum(map(len, texts)) / sum(len(encoding.ids) for encoding in encoded)
    return means


def _by_language(documents: Iterable[Document]) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for document in documents:
        texts.setdefault(document.counted_as, []).append(document.text)
    return texts
