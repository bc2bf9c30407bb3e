"""Token healing: the border, which tokens may follow, and that they spell what is typed."""

import random
from collections.abc import Collection, Sequence
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_model.fim import FimEncoder
from code_model.fim_templates import LEFT_TO_RIGHT, named_template
from code_model.greedy import GreedyEnd, greedy_steps, run_steps
from code_model.prompt_lookup import PromptLookup
from code_model.token_healing import TokenHealing
from code_model.tokenizer import Tokenizer
from tests.unit.code_model.family_tokenizers import byte_level, loaded, sentencepiece

WORDS = ("return", "self", "lines", "path", "os")


def merges(space: str) -> list[tuple[str, str]]:
    """Merges for some words with and without a space or a dot in front, and for indentation."""
    pairs: list[tuple[str, str]] = []
    for word in WORDS:
        pairs += [(word[:n], word[n]) for n in range(1, len(word))]
        pairs += [(space, word), (".", word)]
    return [*pairs, (space, space), (space * 2, space * 2)]


@cache
def tokenizer(kind: str) -> Tokenizer:
    if kind == "byte-level":
        made = byte_level([*merges("Ġ"), ("Ċ", "Ġ" * 4)])
        made.pre_tokenizer.use_regex = False
    else:
        made = sentencepiece(merges("▁"))
    made.add_special_tokens(["<|endoftext|>"])
    return loaded(made)


KINDS = ("byte-level", "sentencepiece")
GOLDEN = {
    "nothing": ("", "", ""),
    "indentation": ("x:\n    ", "x:", "\n    "),
    "half an identifier": ("a retu", "a", " retu"),
    "a dot": ("os.", "os", "."),
    "a space": ("x = ", "x =", " "),
    "a name that has no longer one": ("x self", "x self", ""),
    "a character of several bytes": ("é", "é", ""),
}


@pytest.mark.parametrize("case", GOLDEN)
@pytest.mark.parametrize("kind", KINDS)
def test_the_border(kind: str, case: str) -> None:
    prefix, kept, typed = GOLDEN[case]
    if kind == "sentencepiece" and case == "indentation":
        kept, typed = "x:\n", "    "
    ids, rest = tokenizer(kind).healing.border(tokenizer(kind).encode(prefix))
    assert (tokenizer(kind).decode(ids), rest) == (kept, typed)


def texts(kind: str, ids: Collection[int] | None) -> set[str]:
    assert ids is not None
    return {tokenizer(kind).decode([id_]) for id_ in ids}


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_that_spell_a_text_may_follow(kind: str) -> None:
    spelling = tokenizer(kind).healing.spelling(" re")
    assert texts(kind, spelling.allowed()) == {" ", " return"}
    (space,) = tokenizer(kind).encode(" ")
    spelling.accept(space)
    assert texts(kind, spelling.allowed()) == {"r", "re", "ret", "retu", "retur", "return"}
    spelling.accept(tokenizer(kind).encode("return")[0])
    assert spelling.allowed() is None, "all may follow"


def test_a_token_that_does_not_spell_the_text_is_refused() -> None:
    spelling = tokenizer("byte-level").healing.spelling("re")
    with pytest.raises(ValueError, match="does not spell"):
        spelling.accept(tokenizer("byte-level").encode("x")[0])


def test_no_token_leads_where_none_can_follow() -> None:
    """`a` would leave `b`, which no token spells."""
    healing = TokenHealing({1: b"a", 2: b"abc", 3: b"ab"})
    assert healing.spelling("ab").allowed() == [2, 3]


def test_special_tokens_never_follow() -> None:
    own = tokenizer("byte-level")
    end = own.token_to_id("<|endoftext|>")
    assert end not in own.vocabulary()
    assert end not in (own.healing.spelling("<").allowed() or [])


class Scores:
    """A model that chooses tokens at random."""

    def __init__(self, ids: Sequence[int], seed: int) -> None:
        self.ids, self.rng = ids, random.Random(seed)
        self.drafts_before_free = 0

    def step(
        self, pending: Sequence[int], draft: Sequence[int], allowed: Collection[int] | None
    ) -> tuple[list[int], list[float]]:
        if allowed is not None:
            self.drafts_before_free += len(draft)
        return [self.rng.choice(sorted(allowed or self.ids))], [-0.1]


@given(
    st.sampled_from(KINDS),
    st.text("selfpathr etun.\n", max_size=40) | st.text(max_size=12),
    st.integers(0, 1_000),
)
def test_decoding_spells_what_is_typed(kind: str, prefix: str, seed: int) -> None:
    own = tokenizer(kind)
    encoder = FimEncoder(own, named_template(LEFT_TO_RIGHT, own.token_to_id))
    plain = own.encode(prefix)
    ids, typed = own.healing.border(plain)
    assert ids == plain[: len(ids)], "what was computed before is a prefix"
    assert encoder.typed(prefix) == typed
    assert own.decode(plain).endswith(typed)
    # bytes that are no character would show as U+FFFD
    model = Scores([id_ for id_, text in own.vocabulary().items() if text.isascii()], seed)
    lookup = PromptLookup([*plain, *plain])
    end = GreedyEnd(encoder.end_ids, max_new_tokens=12)
    steps = greedy_steps(0, own, end, lookup=lookup, must_spell=typed)
    decoded = run_steps(steps, model.step)
    assert own.decode([*ids, *decoded.ids]) == own.decode(plain) + decoded.text
    assert model.drafts_before_free == 0


def test_the_vocabulary_is_the_bytes_of_each_token() -> None:
    byte_text = tokenizer("byte-level").vocabulary()
    assert {byte_text[id_] for id_ in range(256)} == {bytes([n]) for n in range(256)}
    for kind in KINDS:
        own = tokenizer(kind)
        ids = own.encode("    return é\t☃ self.path\n")
        assert b"".join(own.vocabulary()[id_] for id_ in ids) == own_text(own, ids)


def own_text(own: Tokenizer, ids: Sequence[int]) -> bytes:
    return own.decode(ids).encode()
