"""The proof: how much of it fits a time budget."""

import math
from collections.abc import Callable

import pytest

from code_context.context import ContextConfig
from code_model.decoder.model import DecoderModel
from tests.unit.tuning.conftest import FILE
from tuning.corpus import SourceFile
from tuning.examples import held_out_holes
from tuning.proof import MIN_HOLES, NO_PROMPT, THIS_PROMPT, Condition, prove


def ignore(done: float) -> None:
    pass


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (math.inf, lambda all_holes: all_holes),
        (1e6, lambda all_holes: all_holes),
        (0.0, lambda all_holes: MIN_HOLES),
    ],
)
def test_a_slow_model_is_proved_on_fewer_holes(
    base: DecoderModel, seconds: float, expected: Callable[[int], int]
) -> None:
    files = [SourceFile(f"{n}.py", FILE) for n in range(2 * MIN_HOLES)]
    count = MIN_HOLES + 3
    holes = held_out_holes(base, files, config=ContextConfig(), room=200, count=count, seed=1)
    strata = ["in_file" if n % 2 else "rest" for n in range(count)]
    conditions = {NO_PROMPT: Condition(base), THIS_PROMPT: Condition(base)}
    proof = prove(holes, strata, conditions, 1, ignore, seconds=seconds)
    assert proof.holes == sum(proof.strata.values()) == expected(count)
    assert [result.name for result in proof.results] == [NO_PROMPT, THIS_PROMPT]
    # on some machines the last digit of a sum depends on where its numbers lie in memory
    assert proof.gain.mean == pytest.approx(0.0, abs=1e-6)
