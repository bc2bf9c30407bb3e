"""FIM templates: how each family of models is given a file with a hole, as data.

A new family is one more `FimTemplate` in `FAMILIES`. Where no source is named, the layout is that
of the model's card.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal

LEFT_TO_RIGHT = "left-to-right"
LEFT_TO_RIGHT_WITH_SUFFIX = "left-to-right-with-suffix"
NOT_BOUND = ("token_healing", "marks", "max_input_tokens")
"""Fields that are no part of the layout: they follow from the family, which is bound."""
BEGINNINGS = ("<s>", "<bos>", "<|begin_of_text|>")
"""Tokens that models trained with one expect at the beginning of every input."""
ENDS = ("<|endoftext|>", "</s>", "<eos>", "<|end_of_text|>", "<|im_end|>", "<|eot_id|>")
"""Tokens that end a document or an answer in models without infilling."""


class TemplateError(ValueError):
    """The tokenizer lacks a special token of the template, or no template fits it."""


@dataclass(frozen=True)
class FimTemplate:
    """One family's infilling template.

    `order` is "spm" (suffix, prefix, middle), "psm", or "ltr" (the prefix only, last). `prefix`,
    `suffix` and `middle` are the tokens in front of these pieces, None where a family has none.
    Files of the context and the open file's header begin with the token `file_separator`,
    `path_sign`, the path and a newline; `file_end` follows a file of the context. Pieces in
    `in_prefix` stand behind the prefix's token, the others before all tokens of infilling;
    `prefix_text` stands directly behind that token. `suffix_file`: what follows the cursor is given
    as a file of the context that has the open file's path.

    `token_healing`: the family was not trained on cursors inside a token
    (`code_model.token_healing`). `marks` are tokens by which the family is recognised beside those
    of the layout. `max_input_tokens`: the model does not see further back.

    Reason for its size: every difference between the families is one field.
    """

    family: str
    order: Literal["spm", "psm", "ltr"]
    beginning: str | None
    prefix: str | None
    suffix: str | None
    middle: str | None
    file_separator: str | None
    end: tuple[str, ...]
    path_sign: str = ""
    file_end: str = ""
    in_prefix: tuple[Literal["snippet", "header"], ...] = ()
    prefix_text: str = ""
    suffix_file: bool = False
    token_healing: bool = True
    marks: tuple[str, ...] = ()
    max_input_tokens: int | None = None

    def fingerprint(self) -> str:
        """SHA-256 of the fields as JSON; a soft prompt is bound to it.

        A field that has its default is left out, so that a new field changes no older fingerprint.
        """
        defaults = {field.name: field.default for field in fields(self)}
        bound = {
            name: value
            for name, value in asdict(self).items()
            if name not in NOT_BOUND and value != defaults[name]
        }
        text = json.dumps(bound, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def tokens(self) -> tuple[str, ...]:
        """All special tokens that the layout needs, each once."""
        named = (self.beginning, self.prefix, self.suffix, self.middle, self.file_separator)
        return tuple(dict.fromkeys(token for token in (*named, *self.end) if token is not None))


ATTUNE = FimTemplate(
    family="attune",
    order="spm",
    beginning="<|endoftext|>",
    prefix="<|fim_prefix|>",
    suffix="<|fim_suffix|>",
    middle="<|fim_middle|>",
    file_separator="<|file_sep|>",
    end=("<|endoftext|>", "<|file_sep|>"),
    token_healing=False,
)
# The repository template (QwenLM/Qwen2.5-Coder, repo-level FIM example); Qwen3-Coder's too.
QWEN_CODER = FimTemplate(
    family="qwen2.5-coder",
    order="psm",
    beginning=None,
    prefix="<|fim_prefix|>",
    suffix="<|fim_suffix|>",
    middle="<|fim_middle|>",
    file_separator="<|file_sep|>",
    end=(
        "<|endoftext|>",
        "<|im_end|>",
        "<|fim_prefix|>",
        "<|fim_suffix|>",
        "<|fim_middle|>",
        "<|fim_pad|>",
        "<|repo_name|>",
        "<|file_sep|>",
    ),
)
CODEGEMMA = FimTemplate(
    family="codegemma",
    order="psm",
    beginning="<bos>",
    prefix="<|fim_prefix|>",
    suffix="<|fim_suffix|>",
    middle="<|fim_middle|>",
    file_separator="<|file_separator|>",
    end=(
        "<|file_separator|>",
        "<|fim_prefix|>",
        "<|fim_suffix|>",
        "<|fim_middle|>",
        "<eos>",
    ),
)
# Granite 4; Granite 3 has StarCoder's names in its tokenizer and was not trained to infill.
GRANITE = FimTemplate(
    family="granite",
    order="psm",
    beginning=None,
    prefix="<|fim_prefix|>",
    suffix="<|fim_suffix|>",
    middle="<|fim_middle|>",
    file_separator=None,
    end=("<|end_of_text|>", "<|fim_pad|>"),
    path_sign="# ",
    file_end="\n",
    in_prefix=("snippet", "header"),
)
# arXiv 2402.19173, section 5.1. Attention slides over 4,096 positions.
STARCODER2 = FimTemplate(
    family="starcoder2",
    order="psm",
    beginning=None,
    prefix="<fim_prefix>",
    suffix="<fim_suffix>",
    middle="<fim_middle>",
    file_separator="<file_sep>",
    end=("<|endoftext|>", "<file_sep>"),
    in_prefix=("header",),
    marks=("<repo_name>",),
    max_input_tokens=4096,
)
# The tokenizer is GPT-NeoX's, which <|padding|> shows.
STABLE_CODE = FimTemplate(
    family="stable-code",
    order="psm",
    beginning=None,
    prefix="<fim_prefix>",
    suffix="<fim_suffix>",
    middle="<fim_middle>",
    file_separator=None,
    end=("<|endoftext|>", "<fim_pad>"),
    path_sign="# ",
    file_end="\n",
    in_prefix=("snippet", "header"),
    marks=("<|padding|>",),
)
STARCODER = FimTemplate(
    family="starcoder",
    order="psm",
    beginning=None,
    prefix="<fim_prefix>",
    suffix="<fim_suffix>",
    middle="<fim_middle>",
    file_separator="<filename>",
    end=("<|endoftext|>", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>"),
    marks=("<reponame>", "<issue_start>", "<jupyter_start>"),
)
MELLUM = FimTemplate(
    family="mellum",
    order="spm",
    beginning=None,
    prefix="<fim_prefix>",
    suffix="<fim_suffix>",
    middle="<fim_middle>",
    file_separator="<filename>",
    end=("<|endoftext|>", "<filename>"),
    marks=("<reponame>", "<gh_stars>"),
)
SANTACODER = FimTemplate(
    family="santacoder",
    order="psm",
    beginning=None,
    prefix="<fim-prefix>",
    suffix="<fim-suffix>",
    middle="<fim-middle>",
    file_separator=None,
    end=("<|endoftext|>", "<fim-pad>"),
    path_sign="# ",
    file_end="\n",
    in_prefix=("snippet", "header"),
)
# Its README concatenates the files of a repository under `#path`.
DEEPSEEK_CODER = FimTemplate(
    family="deepseek-coder",
    order="psm",
    beginning="<｜begin▁of▁sentence｜>",
    prefix="<｜fim▁begin｜>",
    suffix="<｜fim▁hole｜>",
    middle="<｜fim▁end｜>",
    file_separator=None,
    end=("<｜end▁of▁sentence｜>",),
    path_sign="#",
    file_end="\n",
)
# meta-llama/codellama, `infilling_prompt_tokens`: the text behind <PRE> begins with a space, and
# the spaces before the other tokens are in their names.
CODELLAMA = FimTemplate(
    family="codellama",
    order="psm",
    beginning="<s>",
    prefix="▁<PRE>",
    suffix="▁<SUF>",
    middle="▁<MID>",
    file_separator=None,
    end=("▁<EOT>", "</s>"),
    path_sign="# ",
    file_end="\n",
    in_prefix=("snippet", "header"),
    prefix_text=" ",
)
# mistralai/cookbook: `<s>[SUFFIX]suffix[PREFIX] prefix`; Continue sends files under `+++++ path`.
CODESTRAL = FimTemplate(
    family="codestral",
    order="spm",
    beginning="<s>",
    prefix="[PREFIX]",
    suffix="[SUFFIX]",
    middle=None,
    file_separator=None,
    end=("</s>", "[PREFIX]", "[SUFFIX]"),
    path_sign="+++++ ",
    file_end="\n\n",
    in_prefix=("snippet", "header"),
    prefix_text=" ",
)
# The paper's order; Continue sends prefix first.
SEED_CODER = FimTemplate(
    family="seed-coder",
    order="spm",
    beginning="<[begin▁of▁sentence]>",
    prefix="<[fim-prefix]>",
    suffix="<[fim-suffix]>",
    middle="<[fim-middle]>",
    file_separator=None,
    end=("<[end▁of▁sentence]>",),
    path_sign="# ",
    file_end="\n",
    in_prefix=("snippet", "header"),
)
FAMILIES = (
    ATTUNE,
    QWEN_CODER,
    CODEGEMMA,
    GRANITE,
    STARCODER2,
    STABLE_CODE,
    STARCODER,
    MELLUM,
    SANTACODER,
    DEEPSEEK_CODER,
    CODELLAMA,
    CODESTRAL,
    SEED_CODER,
)
"""Of several families whose tokens and marks a tokenizer has, the first is meant."""
TEMPLATES: Mapping[str, FimTemplate] = {template.family: template for template in FAMILIES}

TokenToId = Callable[[str], int | None]
"""The id of a special token, None if the vocabulary lacks it."""


def recognised_template(token_to_id: TokenToId) -> FimTemplate:
    """The template of the family whose special tokens a tokenizer has.

    Not `attune`: its models name their template in `attune.json`, and its tokens are common names
    (any model with other training that has them would get the wrong order).

    Raises `TemplateError` if no family's tokens are there.
    """
    for template in FAMILIES:
        needed = (*template.tokens(), *template.marks)
        if template is not ATTUNE and all(token_to_id(token) is not None for token in needed):
            return template
    raise TemplateError(
        "its tokenizer has the infilling tokens of no known family; add it with --layout "
        f"{LEFT_TO_RIGHT} as a model without infilling, or with --layout and the name of its "
        f"family ({', '.join(TEMPLATES)})"
    )


def named_template(name: str, token_to_id: TokenToId) -> FimTemplate:
    """The template that `attune.json` names. Raises `TemplateError` if there is none."""
    if name in (LEFT_TO_RIGHT, LEFT_TO_RIGHT_WITH_SUFFIX):
        return left_to_right(token_to_id, suffix_file=name == LEFT_TO_RIGHT_WITH_SUFFIX)
    if name not in TEMPLATES:
        named = ", ".join((*TEMPLATES, LEFT_TO_RIGHT, LEFT_TO_RIGHT_WITH_SUFFIX))
        raise TemplateError(f"{name} is an unknown FIM template; known are: {named}")
    return TEMPLATES[name]


def left_to_right(token_to_id: TokenToId, *, suffix_file: bool) -> FimTemplate:
    """The layout for a model that was not trained to infill: files under comments, prefix last.

    Raises `TemplateError` if the tokenizer has none of `ENDS`.
    """
    ends = tuple(token for token in ENDS if token_to_id(token) is not None)
    if not ends:
        raise TemplateError(f"its tokenizer has none of the end tokens {', '.join(ENDS)}")
    template = FimTemplate(
        family=LEFT_TO_RIGHT,
        order="ltr",
        beginning=next((token for token in BEGINNINGS if token_to_id(token) is not None), None),
        prefix=None,
        suffix=None,
        middle=None,
        file_separator=None,
        end=ends,
        path_sign="# ",
        file_end="\n\n",
    )
    if suffix_file:
        return replace(template, family=LEFT_TO_RIGHT_WITH_SUFFIX, suffix_file=True)
    return template
