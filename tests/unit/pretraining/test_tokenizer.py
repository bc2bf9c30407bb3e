"""The tokenizer: any text survives, and code's units are tokens."""

from hypothesis import given
from hypothesis import strategies as st

from pretraining import tokenizer
from pretraining.corpus import Document
from tests.unit.pretraining.test_corpus import body

DOCUMENTS = [Document("p", f"{name}.py", body(name)) for name in ("alpha", "beta", "gamma")]
TRAINED = tokenizer.train(DOCUMENTS, 400, 50_000, 0)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_every_text_survives(text: str) -> None:
    ids = TRAINED.encode(text, add_special_tokens=False).ids
    assert TRAINED.decode(ids, skip_special_tokens=False) == text


def test_indentation_is_one_token_and_digits_stand_alone() -> None:
    assert len(TRAINED.encode("\n    ", add_special_tokens=False).ids) == 1
    assert len(TRAINED.encode("2024", add_special_tokens=False).ids) == 4


def test_what_a_token_holds_is_counted_over_all_documents() -> None:
    texts = [document.text for document in DOCUMENTS]
    tokens = sum(len(TRAINED.encode(text, add_special_tokens=False).ids) for text in texts)
    held = tokenizer.characters_per_token(TRAINED, DOCUMENTS)
    assert held == sum(map(len, texts)) / tokens > 1
