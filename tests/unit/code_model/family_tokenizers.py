"""Small tokenizers with the real special tokens of each family; one token for each character."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tokenizers import (
    AddedToken,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
)
from tokenizers import Tokenizer as LibraryTokenizer

from code_model.tokenizer import Tokenizer

QWEN = (
    "<|endoftext|> <|im_start|> <|im_end|> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> "
    "<|fim_pad|> <|repo_name|> <|file_sep|>"
)
STARCODER = (
    "<|endoftext|> <fim_prefix> <fim_middle> <fim_suffix> <fim_pad> <filename> <gh_stars> "
    "<issue_start> <issue_comment> <issue_closed> <jupyter_start> <jupyter_text> <jupyter_code> "
    "<jupyter_output> <empty_output> <commit_before> <commit_msg> <commit_after> <reponame>"
)
SPECIAL_TOKENS: Mapping[str, str] = {
    "attune": "<|endoftext|> <|fim_prefix|> <|fim_suffix|> <|fim_middle|> <|file_sep|>",
    "qwen2.5-coder": QWEN,
    "codegemma": (
        "<pad> <eos> <bos> <unk> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|file_separator|>"
    ),
    "granite": (
        "<|pad|> <|end_of_text|> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> "
        "<|filename|> <|reponame|> <|start_of_role|> <|end_of_role|> <|unk|> <tool_call>"
    ),
    "starcoder2": (
        "<|endoftext|> <fim_prefix> <fim_middle> <fim_suffix> <fim_pad> <repo_name> <file_sep> "
        "<issue_start> <issue_comment> <issue_closed> <jupyter_start> <jupyter_text> <empty_output>"
    ),
    "stable-code": f"<|padding|> {STARCODER}",
    "starcoder": STARCODER,
    "mellum": (
        "<|endoftext|> <fim_prefix> <fim_middle> <fim_suffix> <fim_pad> <filename> <gh_stars> "
        "<reponame> <commit_before> <commit_msg> <commit_after>"
    ),
    "santacoder": "<|endoftext|> <fim-prefix> <fim-middle> <fim-suffix> <fim-pad>",
    "deepseek-coder": (
        "<｜begin▁of▁sentence｜> <｜end▁of▁sentence｜> <|EOT|> "
        "<｜fim▁begin｜> <｜fim▁hole｜> <｜fim▁end｜>"
    ),
    "codellama": "<unk> <s> </s> ▁<PRE> ▁<MID> ▁<SUF> ▁<EOT>",
    "codestral": "<unk> <s> </s> [INST] [/INST] [PREFIX] [MIDDLE] [SUFFIX]",
    "seed-coder": (
        "<[begin▁of▁sentence]> <[end▁of▁sentence]> <[fim-prefix]> <[fim-suffix]> <[fim-middle]>"
    ),
    "left-to-right": "<|endoftext|> <|im_start|> <|im_end|> <repo_name> <file_sep>",
}
UNMARKED = ("qwen2.5-coder", "granite", "deepseek-coder")
"""Families whose files do not mark their infilling tokens as special."""
SENTENCEPIECE = ("codellama", "codestral", "codegemma")


def special_tokens(family: str) -> list[str]:
    return SPECIAL_TOKENS[family].split(" ")


def tokenizer_of(family: str) -> Tokenizer:
    """The tokenizer of a family, read from a file as a model's is."""
    made = sentencepiece() if family in SENTENCEPIECE else byte_level()
    marked = family not in UNMARKED
    made.add_tokens(
        [
            AddedToken(token, special=marked or "fim" not in token, normalized=False)
            for token in special_tokens(family)
        ]
    )
    return loaded(made)


def loaded(tokenizer: LibraryTokenizer) -> Tokenizer:
    """What the product makes of the tokenizer's file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "tokenizer.json")
        tokenizer.save(str(file))
        return Tokenizer(file)


def byte_level(merges: Sequence[tuple[str, str]] = ()) -> LibraryTokenizer:
    """Byte-level BPE as GPT-2's; `merges` in its alphabet."""
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *map("".join, merges)]
    vocabulary = {token: id_ for id_, token in enumerate(tokens)}
    made = LibraryTokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def sentencepiece(merges: Sequence[tuple[str, str]] = ()) -> LibraryTokenizer:
    """BPE as SentencePiece's in Llama 2: `▁` for a space, one put in front, bytes as fallback."""
    tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    tokens += ["▁", *(chr(n) for n in range(0x21, 0x7F)), "é", *map("".join, merges)]
    vocabulary = {token: id_ for id_, token in enumerate(tokens)}
    made = LibraryTokenizer(
        models.BPE(vocab=vocabulary, merges=list(merges), byte_fallback=True, fuse_unk=True)
    )
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return made
