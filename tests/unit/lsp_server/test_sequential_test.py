"""The A/B test's verdict keeps its error rate however often it is looked at.

Simulated typing: clusters of some seven suggestions; a quarter is accepted, more or less depending
on the cluster; retained characters are log-normal with a median of 20, at most 250.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.sequential_test import (
    ALPHA,
    MIN_CLUSTERS,
    MINIMAL_GAIN,
    ClusteredMean,
    ab_test_result,
    critical_value,
)

SUGGESTIONS_OF_A_CLUSTER = 7
MAX_SUGGESTIONS = 30


def simulate(seed: int, gain: float, clusters: int, share: float = 0.1) -> tuple[str, int]:
    """The first verdict and the suggestions until then, with a look after every acceptance."""
    random = np.random.default_rng(seed)
    without = random.random(clusters) < share
    sizes = np.minimum(MAX_SUGGESTIONS, 1 + random.poisson(SUGGESTIONS_OF_A_CLUSTER - 1, clusters))
    acceptance = np.minimum(0.9, 0.25 * np.exp(random.normal(-0.125, 0.5, clusters)))
    lengths = np.minimum(250, np.exp(random.normal(3, 0.9, (clusters, MAX_SUGGESTIONS))))
    lengths = np.where(without[:, None], lengths, (1 + gain) * lengths).round().astype(int)
    numbers = random.binomial(sizes, acceptance)
    arms = (ClusteredMean(), ClusteredMean())
    suggestions = 0
    for cluster, (arm, size, accepted) in enumerate(
        zip(without.tolist(), sizes.tolist(), numbers.tolist(), strict=True)
    ):
        suggestions += size
        arms[arm].add(cluster, size - accepted, 0)
        for characters in lengths[cluster, :accepted].tolist():
            arms[arm].add(cluster, 1, characters)
            verdict = ab_test_result(*arms).verdict
            if verdict != "unknown":
                return verdict, suggestions
    return "unknown", suggestions


def verdicts(runs: int, gain: float, clusters: int) -> list[tuple[str, int]]:
    return [simulate(seed, gain, clusters) for seed in range(runs)]


def share_of(verdict: str, results: list[tuple[str, int]]) -> float:
    return sum(name == verdict for name, _ in results) / len(results)


def test_prompt_without_effect_gets_a_verdict_in_at_most_five_percent():
    """Either verdict counts, with a look after every acceptance among some 4,200 suggestions."""
    results = verdicts(1000, gain=0, clusters=600)
    assert 1 - share_of("unknown", results) <= ALPHA


def test_prompt_with_the_smallest_gain_of_interest_is_hardly_ever_condemned():
    results = verdicts(300, gain=MINIMAL_GAIN, clusters=600)
    assert share_of("no_gain", results) <= ALPHA


@pytest.mark.parametrize(("gain", "verdict"), [(0.5, "gain"), (-0.5, "no_gain")])
def test_large_effects_are_found(gain, verdict):
    """Half of them within 3,500 suggestions, nine of ten within 9,000; never the opposite."""
    results = verdicts(100, gain=gain, clusters=1300)
    needed = sorted(suggestions for name, suggestions in results if name == verdict)
    assert len(needed) + 100 * share_of("unknown", results) == 100
    assert needed[50] <= 3500
    assert needed[90] <= 9000


VALUES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 300)), min_size=2, max_size=60)


@given(values=VALUES)
def test_running_sums_equal_the_definition(values):
    mean = ClusteredMean()
    for cluster, value in values:
        mean.add(cluster, 1, value)
    clusters = {cluster for cluster, _ in values}
    expected = np.mean([value for _, value in values])
    assert mean.mean == pytest.approx(expected)
    assert mean.n_clusters == len(clusters)
    if len(clusters) > 1:
        residuals = [
            sum(value - expected for other, value in values if other == cluster)
            for cluster in clusters
        ]
        k = len(clusters)
        variance = k / (k - 1) * np.sum(np.square(residuals)) / len(values) ** 2
        assert mean.variance_of_mean == pytest.approx(variance, abs=1e-9)


@given(values=st.lists(st.integers(0, 300), min_size=2, max_size=60))
def test_clusters_of_one_value_give_welchs_variance(values):
    mean = ClusteredMean()
    for cluster, value in enumerate(values):
        mean.add(cluster, 1, value)
    expected = np.var(values, ddof=1) / len(values)
    assert mean.variance_of_mean == pytest.approx(expected, abs=1e-9)


def filled(values: list[int], clusters: int = MIN_CLUSTERS) -> ClusteredMean:
    mean = ClusteredMean()
    for cluster in range(clusters):
        for value in values:
            mean.add(cluster, 1, value + cluster % 2)
    return mean


@pytest.mark.parametrize(
    ("with_prompt", "without_prompt", "verdict"),
    [(12, 10, "gain"), (10, 10, "no_gain"), (8, 10, "no_gain")],
)
def test_verdict_where_the_values_hardly_vary(with_prompt, without_prompt, verdict):
    result = ab_test_result(filled([with_prompt * 100]), filled([without_prompt * 100]))
    assert result.verdict == verdict
    assert result.difference == 100 * (with_prompt - without_prompt)
    assert result.low < result.difference < result.high


def test_few_clusters_give_no_verdict():
    few = filled([1000] * 50, MIN_CLUSTERS - 1)
    assert ab_test_result(few, filled([1])).verdict == "unknown"
    assert ab_test_result(filled([1000]), few).verdict == "unknown"
    assert ab_test_result(ClusteredMean(), ClusteredMean()).difference is None


def test_interval_is_wider_than_that_of_a_single_look():
    """Equation and optimum of the source: 3.04 standard errors where it is tightest."""
    assert critical_value(1000) == pytest.approx(3.035, abs=0.001)
    assert min(map(critical_value, range(60, 100_000, 100))) > 3
