"""The tokenizer: any text survives, code's units are tokens, and no language is drowned."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretraining import tokenizer
from pretraining.corpus import Document
from tests.unit.pretraining.test_corpus import body

DOCUMENTS = [Document("p", f"{name}.py", body(name)) for name in ("alpha", "beta", "gamma")]
TRAINED = tokenizer.train(DOCUMENTS, 400, 50_000, 0)


def ids(text: str, of: tokenizer.Tokenizer = TRAINED) -> list[int]:
    return of.encode(text, add_special_tokens=False).ids


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_every_text_survives(text: str) -> None:
    assert TRAINED.decode(ids(text), skip_special_tokens=False) == text


def test_indentation_is_one_token_and_digits_stand_alone() -> None:
    assert len(ids("\n    ")) == 1
    assert len(ids("2024")) == 4


@pytest.mark.parametrize("indentation", ["\n\t", "\n\t\t", "\r\n        "])
def test_indentation_of_every_language_can_be_one_token(indentation: str) -> None:
    text = "".join(f"func f{indentation}return{indentation}x" for _ in range(200))
    trained = tokenizer.train([Document("p", "a.go", text, "go")], 300, 50_000, 0)
    assert len(ids(indentation, trained)) == 1


def test_a_small_language_is_not_drowned_by_a_large_one() -> None:
    large = [Document("p", f"{n}.py", body(f"alphabetic_{n}")) for n in range(200)]
    small = [Document("q", "a.rs", "let quaternion = quaternion;\n" * 40, "rust")]
    trained = tokenizer.train([*large, *small], 330, 4_000, 0)
    assert len(ids(" quaternion", trained)) == 1


def test_the_sample_has_the_size_asked_for() -> None:
    # a smaller sample has fewer documents, and with them fewer names to learn
    documents = [
        Document("p", f"{n}.py", f"name_{chr(97 + n % 26)}_x = 1\n" * 20) for n in range(9)
    ]
    one = tokenizer.train(documents, 10_000, 200, 0)
    all_of_them = tokenizer.train(documents, 10_000, 20_000, 0)
    assert one.get_vocab_size() < all_of_them.get_vocab_size()


def test_what_a_token_holds_is_counted_for_each_language() -> None:
    documents = [*DOCUMENTS, Document("q", "a.ts", "xyzzy " * 50, "typescript"),
                 Document("q", "b.tsx", "<b/>" * 50, "tsx")]  # fmt: skip
    held = tokenizer.characters_per_token(TRAINED, documents)
    assert held.keys() == {"python", "typescript"}
    texts = [document.text for document in DOCUMENTS]
    assert held["python"] == sum(map(len, texts)) / sum(len(ids(text)) for text in texts) > 1
    assert held["typescript"] == pytest.approx(
        500 / (len(ids("xyzzy " * 50)) + len(ids("<b/>" * 50)))
    )
