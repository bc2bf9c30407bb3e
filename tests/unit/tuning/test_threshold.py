"""Where the line is drawn between showing and silence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.threshold import MIN_SHOWN, threshold_for


def test_the_lowest_threshold_that_keeps_the_precision() -> None:
    lines = [(-0.1 * n, n < 8) for n in range(40)]  # the eight surest are right
    found = threshold_for(lines, 0.5)
    assert found is not None
    assert found.shown == 16 / 40
    assert found.precision == 0.5
    assert found.logprob == pytest.approx(-1.5)


def test_none_where_no_threshold_reaches_it() -> None:
    assert threshold_for([(-1.0, False)] * 100, 0.1) is None
    assert threshold_for([(-1.0, True)] * (MIN_SHOWN - 1), 0.1) is None
    assert threshold_for([], 0.1) is None


@given(
    st.lists(st.tuples(st.integers(-9, 0).map(float), st.booleans()), max_size=60),
    st.sampled_from([0.1, 0.3, 0.5, 0.9]),
)
def test_what_it_promises_holds_for_what_it_shows(lines, target) -> None:
    found = threshold_for(lines, target)
    if found is None:
        return
    shown = [right for logprob, right in lines if logprob >= found.logprob]
    assert len(shown) >= MIN_SHOWN
    assert sum(shown) / len(shown) == found.precision >= target
    assert found.shown == pytest.approx(len(shown) / len(lines))
    lower = {logprob for logprob, _ in lines if logprob < found.logprob}
    for threshold in lower:
        more = [right for logprob, right in lines if logprob >= threshold]
        assert sum(more) / len(more) < target
