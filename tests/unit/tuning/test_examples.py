"""Examples have serving's layout, and held-out holes are what they say."""

from itertools import islice

import pytest

from code_context.context import ContextConfig
from code_context.syntax import parse
from code_model.completion import model_input
from code_model.loading import BaseModel
from tests.unit.tuning.conftest import FILE
from tuning.corpus import SourceFile
from tuning.examples import (
    fim_example,
    held_out_holes,
    middle_of,
    training_examples,
    without_middle,
)

FILES = [SourceFile(f"package/{n}.py", FILE.format(n=n)) for n in range(3)]
ROOM = 200


def test_an_example_is_servings_input_and_the_middle(base: BaseModel) -> None:
    for one in held_out_holes(base, FILES, config=ContextConfig(), room=ROOM, count=12, seed=1):
        text = without_middle(one.file, one.hole)
        served = model_input(
            base,
            parse(text, "python"),
            one.file.path,
            one.hole.start,
            config=ContextConfig(),
            room=ROOM - one.example.scored,
        )
        middle = base.encoder.encode_middle(middle_of(one.file, one.hole))
        assert one.example.ids == served + middle[: one.example.scored]
        assert len(one.example.ids) <= ROOM


def test_the_hidden_middle_is_not_in_the_context(base: BaseModel) -> None:
    file = SourceFile("a.py", "first = 1\nhidden_value = 4242\nlast = 3\n")
    hole = next(
        one.hole
        for one in held_out_holes(base, [file], config=ContextConfig(), room=300, count=20, seed=0)
        if one.hole.kind == "line" and "hidden" in middle_of(file, one.hole)
    )
    example = fim_example(base, file, hole, ContextConfig(), 300)
    context = base.tokenizer.decode(example.ids[: -example.scored])
    assert "hidden_value" not in context
    assert "first = 1" in context
    assert "last = 3" in context


def test_training_examples_are_repeatable_and_fit(base: BaseModel) -> None:
    def drawn(seed: int) -> list[list[int]]:
        stream = training_examples(
            base, FILES, config=ContextConfig(), room=ROOM, left_to_right=0.3, seed=seed
        )
        return [one.ids for one in islice(stream, 30)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert max(map(len, drawn(1))) <= ROOM
    fim = [base.encoder.middle_id in ids for ids in drawn(1)]
    assert any(fim)
    assert not all(fim)


@pytest.mark.parametrize("count", [3, 30])
def test_held_out_holes_cover_every_file(base: BaseModel, count: int) -> None:
    found = held_out_holes(base, FILES, config=ContextConfig(), room=ROOM, count=count, seed=1)
    assert {one.file.path for one in found} == {file.path for file in FILES}
    assert all(one.size > 0 for one in found)
