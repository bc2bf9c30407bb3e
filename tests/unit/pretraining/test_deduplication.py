"""What counts as the same code, and that a licence's text does not."""

import pytest

from pretraining.deduplication import Deduplication, shingles_of
from tests.unit.pretraining.test_corpus import body

LICENCE = [f"line {n} of a licence that everybody uses" for n in range(40)]
HEADERS = {
    "hash": "".join(f"# {line}\n" for line in LICENCE),
    "slashes": "".join(f"// {line}\n" for line in LICENCE),
    "block": "/*\n" + "\n".join(LICENCE) + "\n*/\n",
    "stars": "/*\n" + "".join(f" * {line}\n" for line in LICENCE) + " */\n",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_files_that_share_a_licence_are_not_the_same(header: str) -> None:
    held_out = shingles_of([header + body("held")])
    deduplication = Deduplication(held_out)
    assert deduplication.rejection(header + "\n" + body("one")) is None
    assert deduplication.rejection(header + body("two")) is None


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_another_licence_does_not_make_other_code(header: str) -> None:
    deduplication = Deduplication(shingles_of([body("held")]))
    assert deduplication.rejection(header + body("held")) == "held_out_content"
    assert deduplication.rejection(body("one")) is None
    assert deduplication.rejection(header + body("one")) == "near_duplicates"


def test_a_tenth_of_held_out_content_is_enough_to_refuse() -> None:
    lines = [f"unlike = {n}" for n in range(200)]
    held_out = shingles_of(["\n".join(lines)])
    own = [f"own = {n}" for n in range(180)]
    assert Deduplication(held_out).rejection("\n".join(own + lines[:15])) is None
    assert Deduplication(held_out).rejection("\n".join(own + lines[:30])) == "held_out_content"


def test_half_of_earlier_content_is_a_near_duplicate() -> None:
    deduplication = Deduplication(frozenset())
    lines = [f"unlike = {n}" for n in range(100)]
    own = [f"own = {n}" for n in range(50)]
    assert deduplication.rejection("\n".join(lines)) is None
    assert deduplication.rejection("\n".join(lines[:90] + own)) == "near_duplicates"
    assert deduplication.rejection("\n".join(lines[:30] + own)) is None


def test_a_file_of_comments_alone_is_compared_as_well() -> None:
    deduplication = Deduplication(frozenset())
    assert deduplication.rejection(HEADERS["hash"]) is None
    assert deduplication.rejection(HEADERS["hash"]) == "near_duplicates"
