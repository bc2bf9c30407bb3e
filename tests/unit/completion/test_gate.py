"""Which part of a decoded text the show threshold lets through."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion.gate import cut_before, likely_tokens

LOGPROBS = st.lists(st.floats(-5.0, 0.0))


@pytest.mark.parametrize(
    ("probabilities", "threshold", "count"),
    [
        ([0.9, 0.9, 0.9], 0.7, 3),
        ([0.9, 0.9, 0.8], 0.7, 2),
        ([0.6, 1.0], 0.7, 0),
        ([0.9, 0.5, 1.0], 0.7, 1),  # a sure token after an unsure one does not count
        ([], 0.7, 0),
    ],
)
def test_the_product_of_probabilities_decides(
    probabilities: list[float], threshold: float, count: int
) -> None:
    logprobs = [math.log(probability) for probability in probabilities]
    assert likely_tokens(logprobs, math.log(threshold)) == count


@given(LOGPROBS, st.floats(-10.0, 0.0))
def test_the_run_is_the_longest(logprobs: list[float], threshold: float) -> None:
    count = likely_tokens(logprobs, threshold)
    sums = [sum(logprobs[: end + 1]) for end in range(len(logprobs))]
    assert all(total >= threshold for total in sums[:count])
    assert count == len(logprobs) or sums[count] < threshold


@given(LOGPROBS, st.floats(-10.0, 0.0), st.floats(-10.0, 0.0))
def test_a_higher_threshold_never_shows_more(logprobs: list[float], a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert likely_tokens(logprobs, high) <= likely_tokens(logprobs, low)


@pytest.mark.parametrize(
    ("text", "rest", "left"),
    [
        ("foo(bar", "_baz)", "foo("),
        ("foo(bar", ", baz)", "foo(bar"),
        ("foo(bar", "", "foo(bar"),
        ("na", "me", ""),
        ("\n    a = 1\n    b =", " 2", "\n    a = 1"),
        ("\n    a = 1\n    b = 2", "\n    c", "\n    a = 1\n    b = 2"),
        ("\n    a =", " 1", "\n    a ="),
        ("x = größ", "er", "x = "),
    ],
)
def test_a_cut_leaves_nothing_half(text: str, rest: str, left: str) -> None:
    assert cut_before(text, rest) == left
