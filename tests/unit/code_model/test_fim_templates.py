"""Each family's layout as golden ids, its recognition, and text that never becomes a token."""

import re
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import pytest

from code_context.context import Context
from code_context.snippets import Snippet
from code_model.fim import FimEncoder
from code_model.fim_templates import (
    ATTUNE,
    LEFT_TO_RIGHT,
    LEFT_TO_RIGHT_WITH_SUFFIX,
    NOT_BOUND,
    QWEN_CODER,
    TEMPLATES,
    TemplateError,
    named_template,
    recognised_template,
)
from code_model.tokenizer import Tokenizer
from tests.unit.code_model.family_tokenizers import (
    SENTENCEPIECE,
    SPECIAL_TOKENS,
    special_tokens,
    tokenizer_of,
)

CONTEXT = Context(
    path="a.py",
    header="import os\n",
    snippets=(Snippet("b.py", "b = 1"),),
    prefix="x = ",
    suffix="\ny = 2",
)
BARE = replace(CONTEXT, header="", snippets=())
COMMENTS = "# b.py\nb = 1\n# a.py\nimport os\n"
# the layout with another file and the open file's header, and with neither; `{P}` and `{S}` stand
# for the prefix and the suffix
GOLDEN = {
    "attune": (
        "<|file_sep|>b.py\nb = 1<|file_sep|>a.py\nimport os\n"
        "<|fim_suffix|>{S}<|fim_prefix|>{P}<|fim_middle|>",
        "<|file_sep|>a.py\n<|fim_suffix|>{S}<|fim_prefix|>{P}<|fim_middle|>",
    ),
    "qwen2.5-coder": (
        "<|file_sep|>b.py\nb = 1<|file_sep|>a.py\nimport os\n"
        "<|fim_prefix|>{P}<|fim_suffix|>{S}<|fim_middle|>",
        "<|file_sep|>a.py\n<|fim_prefix|>{P}<|fim_suffix|>{S}<|fim_middle|>",
    ),
    "codegemma": (
        "<|file_separator|>b.py\nb = 1<|file_separator|>a.py\nimport os\n"
        "<|fim_prefix|>{P}<|fim_suffix|>{S}<|fim_middle|>",
        "<|file_separator|>a.py\n<|fim_prefix|>{P}<|fim_suffix|>{S}<|fim_middle|>",
    ),
    "granite": (
        f"<|fim_prefix|>{COMMENTS}{{P}}<|fim_suffix|>{{S}}<|fim_middle|>",
        "<|fim_prefix|># a.py\n{P}<|fim_suffix|>{S}<|fim_middle|>",
    ),
    "starcoder2": (
        "<file_sep>b.py\nb = 1<file_sep><fim_prefix>a.py\nimport os\n"
        "{P}<fim_suffix>{S}<fim_middle>",
        "<file_sep><fim_prefix>a.py\n{P}<fim_suffix>{S}<fim_middle>",
    ),
    "stable-code": (
        f"<fim_prefix>{COMMENTS}{{P}}<fim_suffix>{{S}}<fim_middle>",
        "<fim_prefix># a.py\n{P}<fim_suffix>{S}<fim_middle>",
    ),
    "starcoder": (
        "<filename>b.py\nb = 1<filename>a.py\nimport os\n"
        "<fim_prefix>{P}<fim_suffix>{S}<fim_middle>",
        "<filename>a.py\n<fim_prefix>{P}<fim_suffix>{S}<fim_middle>",
    ),
    "mellum": (
        "<filename>b.py\nb = 1<filename>a.py\nimport os\n"
        "<fim_suffix>{S}<fim_prefix>{P}<fim_middle>",
        "<filename>a.py\n<fim_suffix>{S}<fim_prefix>{P}<fim_middle>",
    ),
    "santacoder": (
        f"<fim-prefix>{COMMENTS}{{P}}<fim-suffix>{{S}}<fim-middle>",
        "<fim-prefix># a.py\n{P}<fim-suffix>{S}<fim-middle>",
    ),
    "deepseek-coder": (
        "#b.py\nb = 1\n#a.py\nimport os\n<｜fim▁begin｜>{P}<｜fim▁hole｜>{S}<｜fim▁end｜>",
        "#a.py\n<｜fim▁begin｜>{P}<｜fim▁hole｜>{S}<｜fim▁end｜>",
    ),
    "codellama": (
        f"▁<PRE> {COMMENTS}{{P}}▁<SUF>{{S}}▁<MID>",
        "▁<PRE> # a.py\n{P}▁<SUF>{S}▁<MID>",
    ),
    "codestral": (
        "[SUFFIX]{S}[PREFIX] +++++ b.py\nb = 1\n\n+++++ a.py\nimport os\n{P}",
        "[SUFFIX]{S}[PREFIX] +++++ a.py\n{P}",
    ),
    "seed-coder": (
        f"<[fim-suffix]>{{S}}<[fim-prefix]>{COMMENTS}{{P}}<[fim-middle]>",
        "<[fim-suffix]>{S}<[fim-prefix]># a.py\n{P}<[fim-middle]>",
    ),
    LEFT_TO_RIGHT: ("# b.py\nb = 1\n\n# a.py\nimport os\n{P}", "# a.py\n{P}"),
}
STOPS = {
    "attune": "<|endoftext|> <|file_sep|>",
    "qwen2.5-coder": (
        "<|endoftext|> <|im_end|> <|fim_prefix|> <|fim_suffix|> <|fim_middle|> <|fim_pad|> "
        "<|repo_name|> <|file_sep|>"
    ),
    "codegemma": "<|file_separator|> <|fim_prefix|> <|fim_suffix|> <|fim_middle|> <eos>",
    "granite": "<|end_of_text|> <|fim_pad|>",
    "starcoder2": "<|endoftext|> <file_sep>",
    "stable-code": "<|endoftext|> <fim_pad>",
    "starcoder": "<|endoftext|> <fim_prefix> <fim_suffix> <fim_middle> <fim_pad>",
    "mellum": "<|endoftext|> <filename>",
    "santacoder": "<|endoftext|> <fim-pad>",
    "deepseek-coder": "<｜end▁of▁sentence｜>",
    "codellama": "▁<EOT> </s>",
    "codestral": "</s> [PREFIX] [SUFFIX]",
    "seed-coder": "<[end▁of▁sentence]>",
    LEFT_TO_RIGHT: "<|endoftext|> <|im_end|>",
}
BEGINNINGS = {
    "attune": "<|endoftext|>",
    "codegemma": "<bos>",
    "deepseek-coder": "<｜begin▁of▁sentence｜>",
    "codellama": "<s>",
    "codestral": "<s>",
    "seed-coder": "<[begin▁of▁sentence]>",
}

tokenizers = cache(tokenizer_of)


def encoder_of(family: str) -> FimEncoder:
    tokenizer = tokenizers(family)
    return FimEncoder(tokenizer, named_template(family, tokenizer.token_to_id))


def ids_of(family: str, layout: str, tokenizer: Tokenizer) -> list[int]:
    """The ids of a golden layout: its special tokens by name, the rest character by character."""
    special = sorted(special_tokens(family), key=len, reverse=True)
    ids: list[int] = []
    for piece in re.split(f"({'|'.join(map(re.escape, special))})", layout):
        if piece in special:
            ids.append(id_of(tokenizer, piece))
        else:
            ids += [id_ for character in piece for id_ in tokenizer.encode(character)]
    return ids


def id_of(tokenizer: Tokenizer, token: str) -> int:
    id_ = tokenizer.token_to_id(token)
    assert id_ is not None
    return id_


@pytest.mark.parametrize("family", GOLDEN)
@pytest.mark.parametrize("empty", [None, "prefix", "suffix"])
def test_each_family_has_its_layout(family: str, empty: str | None) -> None:
    encoder, tokenizer = encoder_of(family), tokenizers(family)
    for context, layout in zip((CONTEXT, BARE), GOLDEN[family], strict=True):
        if empty is not None:
            context = replace(context, **{empty: ""})
        expected = layout.replace("{P}", context.prefix).replace("{S}", context.suffix)
        assert encoder.encode(context) == ids_of(family, expected, tokenizer)


def test_every_family_has_a_golden_layout() -> None:
    assert {*TEMPLATES, LEFT_TO_RIGHT} == GOLDEN.keys() == STOPS.keys() == SPECIAL_TOKENS.keys()


@pytest.mark.parametrize("family", GOLDEN)
def test_each_family_ends_at_its_tokens(family: str) -> None:
    encoder, tokenizer = encoder_of(family), tokenizers(family)
    assert list(encoder.end_ids) == [id_of(tokenizer, token) for token in STOPS[family].split(" ")]
    beginning = BEGINNINGS.get(family)
    assert encoder.beginning_ids == ([] if beginning is None else [id_of(tokenizer, beginning)])


@pytest.mark.parametrize("family", GOLDEN)
def test_a_file_that_spells_special_tokens_gives_none(family: str) -> None:
    encoder, tokenizer = encoder_of(family), tokenizers(family)
    hostile = "".join(f"{token} x{token}\n" for token in special_tokens(family))
    context = Context(hostile, hostile, (Snippet(hostile, hostile),), hostile, hostile)
    special = {id_of(tokenizer, token) for token in special_tokens(family)}

    def count(context: Context) -> int:
        return sum(id_ in special for id_ in encoder.encode(context))

    assert count(context) == count(CONTEXT)
    plain = hostile.replace("▁", " ") if family in SENTENCEPIECE else hostile
    assert tokenizer.decode(tokenizer.encode(hostile)) == plain
    assert not special & set(encoder.encode_file(hostile, hostile)[1:])
    assert not special & set(encoder.encode_middle(hostile)[:-1])


@pytest.mark.parametrize("family", [name for name in GOLDEN if name != "attune"])
def test_a_family_is_recognised_by_its_tokens(family: str) -> None:
    token_to_id = tokenizers(family).token_to_id
    if family != LEFT_TO_RIGHT:
        assert recognised_template(token_to_id).family == family
        return
    with pytest.raises(TemplateError, match=r"no known family.*left-to-right"):
        recognised_template(token_to_id)


def test_granite_3_is_not_taken_for_starcoder() -> None:
    """Its tokenizer has StarCoder's names, but it was never trained to infill."""
    names = {*special_tokens("starcoder"), "<|end_of_text|>"} - {"<|endoftext|>"}
    with pytest.raises(TemplateError):
        recognised_template(lambda token: 1 if token in names else None)


def test_the_models_without_infilling_need_an_end_token() -> None:
    with pytest.raises(TemplateError, match="none of the end tokens"):
        named_template(LEFT_TO_RIGHT, lambda token: None)


def test_what_follows_may_stand_in_front_as_a_piece_of_the_file() -> None:
    tokenizer = tokenizers(LEFT_TO_RIGHT)
    template = named_template(LEFT_TO_RIGHT_WITH_SUFFIX, tokenizer.token_to_id)
    encoder = FimEncoder(tokenizer, template)
    assert tokenizer.decode(encoder.encode(CONTEXT)) == (
        "# b.py\nb = 1\n\n# a.py\ny = 2\n\n# a.py\nimport os\nx = "
    )
    nothing_below = replace(CONTEXT, suffix="\n")
    assert encoder.encode(nothing_below) == encoder_of(LEFT_TO_RIGHT).encode(nothing_below)


def test_the_fingerprint_binds_the_layout() -> None:
    """Prompt files hold the fingerprint: another value would refuse every prompt tuned so far."""
    assert ATTUNE.fingerprint() == (
        "327df6dffdd7f408e49fa44ee96e440d95614af5780eada8b379d3522122094d"
    )
    assert QWEN_CODER.fingerprint() == (
        "6a53d38ee0d7202c7792ba4d9c86f424180d5e62ea1a1bdee10ebbf00f820e48"
    )
    for field in fields(ATTUNE):
        value = getattr(ATTUNE, field.name)
        if isinstance(value, bool):
            other: object = not value
        else:
            other = value[1:] if value else ("header",) if value == () else "<|x|>"
        changed = replace(ATTUNE, **{field.name: other})
        bound = changed.fingerprint() != ATTUNE.fingerprint()
        assert bound == (field.name not in NOT_BOUND), field.name
    fingerprints = {template.fingerprint() for template in TEMPLATES.values()}
    assert len(fingerprints) == len(TEMPLATES)


def test_the_page_names_every_family() -> None:
    page = (Path(__file__).parents[3] / "docs" / "model-families.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    listed = [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert listed == [*TEMPLATES, LEFT_TO_RIGHT, LEFT_TO_RIGHT_WITH_SUFFIX]
