"""The A/B test's verdict: a confidence sequence for the gain, valid however often it is looked at.

A suggestion's arm is drawn once for a document and a period (`ab_test`), so suggestions of one
period are not independent. The unit of the test is therefore the cluster: all suggestions of one
arm that ended in one period, which is nearly always the period of their draw. All sums are
integers, so they are exact, and adding a value costs O(1).

Own code, because no maintained library has it: `confseq` on PyPI must be compiled with Boost and
needs SciPy, and SciPy and statsmodels have no confidence sequences.
"""

import math
from dataclasses import dataclass
from typing import Literal

ALPHA = 0.05
"""Bound on the probability that the interval ever misses the true gain, over all looks."""

MINIMAL_GAIN = 0.05
"""The smallest gain of interest, as a share of the mean without the prompt."""

MIN_CLUSTERS = 30
"""Clusters of each arm before the first verdict. The confidence sequence is asymptotic: with fewer
clusters the skew of retained characters exceeds `ALPHA` in simulation (`test_sequential_test`)."""

TIGHTEST_AT = 1000
"""Clusters of both arms at which the interval is tightest: some weeks of typing."""

Verdict = Literal["unknown", "gain", "no_gain"]


class ClusteredMean:
    """The mean of integers that come in clusters, and its variance."""

    def __init__(self) -> None:
        self._clusters: dict[int, tuple[int, int]] = {}  # count and total by cluster
        self._count = 0
        self._total = 0
        self._sum_count_count = 0  # over clusters
        self._sum_count_total = 0
        self._sum_total_total = 0

    def add(self, cluster: int, count: int, total: int) -> None:
        """Add `count` values of one cluster whose sum is `total`."""
        if not count:
            return
        old_count, old_total = self._clusters.get(cluster, (0, 0))
        new_count, new_total = old_count + count, old_total + total
        self._clusters[cluster] = (new_count, new_total)
        self._count += count
        self._total += total
        self._sum_count_count += new_count**2 - old_count**2
        self._sum_count_total += new_count * new_total - old_count * old_total
        self._sum_total_total += new_total**2 - old_total**2

    @property
    def n_clusters(self) -> int:
        """Clusters with at least one value."""
        return len(self._clusters)

    @property
    def mean(self) -> float | None:
        """Mean over all values, None without any."""
        return self._total / self._count if self._count else None

    @property
    def variance_of_mean(self) -> float:
        """Squared standard error of the mean; needs two clusters.

        The cluster-robust variance of a ratio: k / (k - 1) * sum_j (t_j - m * n_j)^2 / n^2 with k
        clusters of n_j values that sum to t_j, n values in all and their mean m. For clusters of
        one value it is Welch's s^2 / n.
        """
        k, n, mean = len(self._clusters), self._count, self._total / self._count
        residuals = (
            self._sum_total_total
            - 2 * mean * self._sum_count_total
            + mean**2 * self._sum_count_count
        )
        return k / (k - 1) * max(0.0, residuals) / n**2


@dataclass(frozen=True)
class AbTestResult:
    """Retained characters per place: the mean with the prompt minus the mean without.

    `low` and `high` are the ends of the 95 % confidence sequence; None before `MIN_CLUSTERS`.
    """

    verdict: Verdict
    difference: float | None = None
    low: float | None = None
    high: float | None = None


def ab_test_result(with_prompt: ClusteredMean, without_prompt: ClusteredMean) -> AbTestResult:
    """Compare the arms; may be called after every suggestion.

    - "gain": the confidence sequence for the difference lies above zero.
    - "no_gain": the one for (mean with) - (1 + `MINIMAL_GAIN`) * (mean without) lies below zero,
      so the gain is smaller than anyone cares about, or a loss.
    - "unknown": neither, or fewer than `MIN_CLUSTERS` clusters in an arm.

    Over the whole life of a test, either wrong verdict has a probability of at most `ALPHA`,
    asymptotically.
    """
    clusters = (with_prompt.n_clusters, without_prompt.n_clusters)
    mean, baseline = with_prompt.mean, without_prompt.mean
    if min(clusters) < MIN_CLUSTERS or mean is None or baseline is None:
        return AbTestResult("unknown")
    factor = critical_value(sum(clusters))
    variances = with_prompt.variance_of_mean, without_prompt.variance_of_mean
    difference, radius = mean - baseline, factor * math.sqrt(sum(variances))
    scale = 1 + MINIMAL_GAIN
    excess = mean - scale * baseline
    excess_radius = factor * math.sqrt(variances[0] + scale**2 * variances[1])
    verdict: Verdict = "unknown"
    if difference - radius > 0:
        verdict = "gain"
    elif excess + excess_radius < 0:
        verdict = "no_gain"
    return AbTestResult(verdict, difference, difference - radius, difference + radius)


def critical_value(t: int) -> float:
    """Standard errors to each side of an estimate from `t` clusters, in place of the usual 1.96.

    Robbins' normal mixture as an asymptotic confidence sequence: Waudby-Smith et al., Time-uniform
    central limit theory and asymptotic confidence sequences (arXiv 2103.06476), theorem 2.2,
    divided by the standard error: sqrt(2 (t r + 1) / (t r) * log(sqrt(t r + 1) / alpha)). Their
    appendix gives r = rho^2 that is tightest at t = `TIGHTEST_AT`, approximately. A difference of
    means is the average of independent terms, one for each cluster; its standard error is Welch's.
    """
    twice_log = -2 * math.log(ALPHA)
    tr = t * (twice_log + math.log(twice_log + 1)) / TIGHTEST_AT
    return math.sqrt(2 * (tr + 1) / tr * math.log(math.sqrt(tr + 1) / ALPHA))
