"""Statistics say what a few numbers per strategy can tell: spread, significance, Delta m.

The tests are scipy's. The tested numbers are better when they are lower.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
_MOST_PERMUTATIONS = 20_000


@dataclass(frozen=True)
class Spread:
    """A spread is mean and sample standard deviation (n - 1) of ``n`` numbers; ``sd`` needs two."""

    n: int
    mean: float
    sd: float | None


def spread(values: Sequence[float]) -> Spread | None:
    """Compute mean and standard deviation; ``None`` if there are no numbers."""
    if not values:
        return None
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(len(values), float(np.mean(values)), sd)


def less_p(a: Sequence[float], b: Sequence[float]) -> float:
    """Return p of a one-sided Mann-Whitney U test; it is small if ``a`` is below ``b``.

    The p is exact without ties, however large the samples, and with ties in small samples, whose
    permutations are enumerated; large samples with ties take the normal approximation. Each sample
    has at least one number.
    """
    a, b = _without_noise(a), _without_noise(b)
    pooled = [*a, *b]
    ties = len(set(pooled)) < len(pooled)
    if len(set(pooled)) == 1:
        return 1.0  # the normal approximation divides by a variance of zero
    if ties and len(a) == 1:  # scipy's permutations need two numbers a sample
        return float(stats.percentileofscore(pooled, a[0], kind="weak")) / 100
    if ties and len(b) == 1:
        return float(stats.percentileofscore(pooled, b[0], kind="strict")) / -100 + 1
    if ties and math.comb(len(pooled), len(a)) <= _MOST_PERMUTATIONS:
        # the number of permutations asked for is above the number there are: all are visited
        method = stats.PermutationMethod(n_resamples=_MOST_PERMUTATIONS)
        return float(stats.mannwhitneyu(a, b, alternative="less", method=method).pvalue)
    # scipy's own choice would be the approximation where both samples have more than eight numbers
    method = "asymptotic" if ties else "exact"
    return float(stats.mannwhitneyu(a, b, alternative="less", method=method).pvalue)


def _without_noise(numbers: Sequence[float]) -> list[float]:
    """Return numbers to ten digits, so that equal errors are ties: 0.3 and 0.1 + 0.2."""
    return [float(f"{number:.10g}") for number in numbers]


def smallest_p(n: int, m: int) -> float:
    """Return the smallest p of :func:`less_p` for samples of these sizes without ties."""
    return 1 / math.comb(n + m, n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values by Holm's method, so that they hold for all hypotheses together.

    S. Holm, "A simple sequentially rejective multiple test procedure", 1979. scipy has none.
    """
    p = np.asarray(p_values, dtype=float)
    # [0.04, 0.01]: order is [1, 0], stepped [0.02, 0.04], so that corrected is [0.04, 0.02]
    order = np.argsort(p, kind="stable")
    stepped = p[order] * np.arange(len(p), 0, -1)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return [float(value) for value in corrected]


def superiority(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the probability that a number of ``a`` is below one of ``b``, ties counted half.

    It is the statistic of the Mann-Whitney test divided by its largest value, from 0 to 1.
    """
    statistic = stats.mannwhitneyu(_without_noise(b), _without_noise(a)).statistic
    return float(statistic) / (len(a) * len(b))


@dataclass(frozen=True)
class Difference:
    """A difference is one sample's mean minus another's, with a 95 % confidence interval.

    ``low`` and ``high`` bound it by Student's t: of the differences seed by seed where ``paired``,
    else by Welch's degrees of freedom. They are ``None`` where there are too few numbers.
    """

    value: float
    low: float | None
    high: float | None
    paired: bool


def difference(a: Mapping[int, float], b: Mapping[int, float]) -> Difference | None:
    """Compare two samples that are indexed by seed; ``None`` if one of them is empty.

    With two or more seeds in common, only these count, and they are paired; otherwise the samples
    are taken as independent.
    """
    if not a or not b:
        return None
    common = sorted(set(a) & set(b))
    if len(common) >= 2:
        each = [a[seed] - b[seed] for seed in common]
        value, reach = float(np.mean(each)), float(np.ptp(each))
        low, high = _interval(value, reach, lambda: stats.ttest_1samp(each, 0))
        return Difference(value, low, high, True)
    first, second = list(a.values()), list(b.values())
    value = float(np.mean(first) - np.mean(second))
    if len(first) < 2 or len(second) < 2:
        return Difference(value, None, None, False)
    reach = float(np.ptp(first) + np.ptp(second))
    low, high = _interval(value, reach, lambda: stats.ttest_ind(first, second, equal_var=False))
    return Difference(value, low, high, False)


def _interval(value: float, reach: float, test: Callable[[], Any]) -> tuple[float, float]:
    """Return the interval of a t-test; numbers that do not differ leave none."""
    if reach <= 1e-9 * abs(value):  # rounding alone, of which scipy warns
        return value, value
    found = test().confidence_interval(CONFIDENCE)
    return float(found.low), float(found.high)


@dataclass(frozen=True)
class DeltaM:
    """Delta m is the relative multi-task performance in percent; positive beats the baseline.

    For each task it is 100 (b - m) / abs(b) with the metric m and the baseline's b, with the
    opposite sign where larger is better, and ``None`` where b is zero. ``mean`` is over the tasks,
    ``None`` where a task has none. Source: Maninis et al., CVPR 2019, equation 1. Papers that count
    losses positive (Liu et al., NeurIPS 2021, CAGrad; Navon et al., ICML 2022, Nash-MTL) have the
    opposite sign throughout.
    """

    per_task: dict[str, float | None]
    mean: float | None


def delta_m(
    metrics: Mapping[str, float], baseline: Mapping[str, float], higher: Collection[str] = ()
) -> DeltaM:
    """Compute Delta m of one system against a baseline.

    Args:
        metrics: the system's metric of every task, or of every task and metric.
        baseline: the baseline's metrics, with the same keys.
        higher: keys for which larger is better.
    """
    per_task = {
        key: (-100 if key in higher else 100) * (baseline[key] - value) / abs(baseline[key])
        if baseline[key]
        else None
        for key, value in metrics.items()
    }
    known = [value for value in per_task.values() if value is not None]
    complete = len(known) == len(per_task) and known
    return DeltaM(per_task, sum(known) / len(known) if complete else None)
