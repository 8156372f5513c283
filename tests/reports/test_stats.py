"""Statistics: worked by hand, and against scipy called directly."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from mtl_framework.reports.stats import (
    delta_m,
    difference,
    holm,
    less_p,
    smallest_p,
    spread,
    superiority,
)

numbers = st.integers(0, 6).map(float)
samples = st.lists(numbers, min_size=1, max_size=5)


def test_spread_uses_the_sample_deviation() -> None:
    found = spread([1.0, 2.0, 6.0])
    assert found is not None
    assert found.mean == 3.0
    # squared deviations 4 + 1 + 9 = 14, over n - 1 = 2
    assert found.sd == pytest.approx(7**0.5)


def test_one_number_has_no_deviation_and_none_no_mean() -> None:
    one = spread([2.5])
    assert one is not None
    assert (one.n, one.mean, one.sd) == (1, 2.5, None)
    assert spread([]) is None


def test_mann_whitney_by_hand() -> None:
    # complete separation: one of the C(6, 3) = 20 ways to choose the smaller three
    assert less_p([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]) == pytest.approx(1 / 20)
    assert less_p([4.0, 5.0, 6.0], [1.0, 2.0, 3.0]) == pytest.approx(1.0)
    # U of (1, 2, 4) over (3, 5, 6) is 1; U <= 1 holds for 2 of 20 choices
    assert less_p([1.0, 2.0, 4.0], [3.0, 5.0, 6.0]) == pytest.approx(2 / 20)
    assert smallest_p(3, 3) == 1 / 20


def test_mann_whitney_agrees_with_scipy() -> None:
    generator = np.random.default_rng(3)
    for n, m in ((2, 5), (5, 5), (10, 9)):
        a, b = generator.normal(size=n).tolist(), generator.normal(0.5, size=m).tolist()
        expected = scipy_stats.mannwhitneyu(a, b, alternative="less", method="exact").pvalue
        assert less_p(a, b) == pytest.approx(expected)


@pytest.mark.parametrize("seeds", [8, 9, 12, 30])
def test_the_smallest_p_is_reached_by_separated_samples(seeds: int) -> None:
    low, high = [float(n) for n in range(seeds)], [100.0 + n for n in range(seeds)]
    assert less_p(low, high) == pytest.approx(smallest_p(seeds, seeds), rel=1e-9)


def test_equal_samples_are_no_evidence() -> None:
    assert less_p([2.0, 2.0], [2.0, 2.0]) == 1.0
    assert less_p([2.0] * 40, [2.0] * 40) == 1.0
    assert less_p([1.0], [1.0]) == 1.0


@given(samples, samples)
def test_with_ties_p_is_the_share_of_permutations_at_least_as_extreme(
    a: list[float], b: list[float]
) -> None:
    def statistic(chosen: tuple[int, ...], pooled: list[float]) -> float:
        rest = [pooled[i] for i in range(len(pooled)) if i not in chosen]
        pairs = itertools.product((pooled[i] for i in chosen), rest)
        return sum((x > y) + 0.5 * (x == y) for x, y in pairs)

    pooled = [*a, *b]
    observed = statistic(tuple(range(len(a))), pooled)
    found = [statistic(c, pooled) for c in itertools.combinations(range(len(pooled)), len(a))]
    assert less_p(a, b) == pytest.approx(sum(u <= observed for u in found) / len(found))


def test_holm_by_hand() -> None:
    # sorted: .01 * 4, .02 * 3, .03 * 2, .5 * 1, each at least its predecessor
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_exactly_what_the_stepwise_procedure_rejects(p: list[float]) -> None:
    corrected = holm(p)
    for level in (0.01, 0.05, 0.2):
        rejected = set()
        for step, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
            if p[index] * (len(p) - step) > level:
                break
            rejected.add(index)
        assert {i for i, value in enumerate(corrected) if value <= level} == rejected


@given(samples, samples)
def test_superiority_is_the_share_of_won_pairs(a: list[float], b: list[float]) -> None:
    won = sum((x < y) + 0.5 * (x == y) for x in a for y in b) / (len(a) * len(b))
    assert superiority(a, b) == pytest.approx(won)


def test_common_seeds_are_paired() -> None:
    # always 1 apart: paired, there is no doubt about the difference
    found = difference({1: 5.0, 2: 9.0, 3: 30.0, 7: 1.0}, {1: 6.0, 2: 10.0, 3: 31.0})
    assert found is not None
    assert (found.value, found.low, found.high, found.paired) == (-1.0, -1.0, -1.0, True)


def test_other_seeds_are_not_paired() -> None:
    found = difference({1: 5.0, 2: 9.0}, {3: 6.0, 4: 10.0})
    assert found is not None
    assert not found.paired
    # both variances are 8: the standard error is sqrt(8), with two degrees of freedom
    reach = 8**0.5 * scipy_stats.t.ppf(0.975, 2)
    assert (found.value, found.low, found.high) == pytest.approx((-1.0, -1 - reach, -1 + reach))


def test_a_single_seed_gives_a_difference_without_interval() -> None:
    found = difference({0: 5.0}, {0: 6.0})
    assert found is not None
    assert (found.value, found.low, found.high) == (-1.0, None, None)
    assert difference({}, {0: 1.0}) is None


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("seeds", [3, 5])
def test_the_interval_holds_the_truth_as_often_as_it_says(paired: bool, seeds: int) -> None:
    generator, inside = np.random.default_rng(0), 0
    for _ in range(400):
        a = dict(enumerate(generator.normal(1.0, 1.0, seeds).tolist()))
        b = dict(enumerate(generator.normal(0.0, 1.0, seeds).tolist(), 0 if paired else seeds))
        found = difference(a, b)
        assert found is not None
        assert found.paired is paired
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 1 <= found.high
    assert 0.92 < inside / 400 < 0.985


def test_delta_m_by_hand() -> None:
    found = delta_m({"a": 8.0, "b": 6.0}, {"a": 10.0, "b": 5.0})
    assert found.per_task == {"a": pytest.approx(20.0), "b": pytest.approx(-20.0)}
    assert found.mean == pytest.approx(0.0)


def test_delta_m_cannot_be_told_against_a_perfect_baseline() -> None:
    found = delta_m({"a": 8.0, "b": 6.0}, {"a": 10.0, "b": 0.0})
    assert found.per_task == {"a": pytest.approx(20.0), "b": None}
    assert found.mean is None


def test_equal_errors_are_ties_whatever_the_last_bit_says() -> None:
    one, other, exact = [0.3, 11.0, 12.5], [0.1 + 0.2, 12.0, 13.0], [0.3, 12.0, 13.0]
    assert one[0] < other[0]
    assert less_p(one, other) == less_p(one, exact)
    assert superiority(one, other) == superiority(one, exact) == 5.5 / 9  # of nine pairs
    assert less_p([0.1 + 0.2, 0.3], [0.3, 0.3]) == 1.0
