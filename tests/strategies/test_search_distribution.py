"""The search distribution against the equations of the paper and what follows from them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from support.drawn import generator, many
from torch import Tensor

from mtl_framework.strategies.search_distribution import (
    SearchDistribution,
    log_derivative,
    natural_gradient,
    utilities,
)
from mtl_framework.support.errors import MtlError

seeds = st.integers(0, 2**31 - 1)


def random_pi(shape: tuple[int, int, int], seed: int) -> Tensor:
    pi = torch.rand(*shape, generator=generator(seed), dtype=torch.float64) + 1e-3
    return pi / pi.sum(-1, keepdim=True)


def largest_gradient(samples: int) -> float:
    """S of methods 1.12: the most that an entry of the search gradient can be."""
    if samples % 2 == 0:
        return samples / (4 * (samples - 1))
    return (samples + 1) / (4 * samples)


# -- gradient ---------------------------------------------------------------------------------


def test_the_worked_example() -> None:
    # losses (0.5, 0.2, 0.9) of samples (0, 1, 0): methods 1.4
    u = utilities(torch.tensor([0.5, 0.2, 0.9]))
    assert u.tolist() == [0, 1, -1]
    pi = torch.full((1, 1, 2), 0.5, dtype=torch.float64)
    gradient = natural_gradient(torch.tensor([0, 1, 0]).reshape(3, 1, 1), u, pi)
    torch.testing.assert_close(gradient, torch.tensor([[[-1 / 3, 1 / 3]]], dtype=torch.float64))


@many
@given(
    st.integers(2, 11),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 5),
    seeds,
    st.booleans(),
)
def test_the_gradient_is_the_sum_of_the_utilities_of_each_choice(
    samples: int, units: int, tasks: int, weights: int, seed: int, by_task: bool
) -> None:
    distribution = SearchDistribution(random_pi((units, tasks, weights), seed))
    assignments = distribution.sample(samples, generator(seed))
    shape = (samples, tasks) if by_task else (samples,)
    losses = torch.rand(*shape, generator=generator(seed + 1), dtype=torch.float64)
    u = utilities(losses)
    gradient = natural_gradient(assignments, u, distribution.pi)
    torch.testing.assert_close(gradient.sum(-1), torch.zeros(units, tasks, dtype=torch.float64))
    assert float(gradient.abs().max()) <= largest_gradient(samples) + 1e-12
    for unit in range(units):
        for task in range(tasks):
            own = u[:, task] if by_task else u
            for weight in range(weights):
                chosen = assignments[:, unit, task] == weight
                assert float(gradient[unit, task, weight]) == pytest.approx(
                    float(own[chosen].sum()) / samples, abs=1e-12
                )


@pytest.mark.parametrize("samples", [2, 3, 7, 8])
def test_the_largest_gradient_is_reached(samples: int) -> None:
    losses = torch.arange(samples, dtype=torch.float64)
    better = (losses >= (samples + 1) // 2).long().reshape(samples, 1, 1)
    pi = torch.full((1, 1, 2), 0.5, dtype=torch.float64)
    gradient = natural_gradient(better, utilities(losses), pi)
    assert float(gradient[0, 0, 0]) == pytest.approx(largest_gradient(samples))


@many
@given(st.integers(2, 6), seeds)
def test_natural_is_inverse_fisher_times_plain(weights: int, seed: int) -> None:
    """With the K - 1 free parameters of equations 17 to 23, by automatic differentiation."""
    free = random_pi((1, 1, weights), seed)[0, 0, :-1].requires_grad_()

    def log_p(choice: int) -> Tensor:
        full = torch.cat([free, 1 - free.sum(keepdim=True, dim=0)])
        return full[choice].log()

    plain = [torch.autograd.grad(log_p(k), free)[0] for k in range(weights)]
    pi = torch.cat([free, 1 - free.sum(keepdim=True, dim=0)]).detach()
    fisher = sum(float(pi[k]) * torch.outer(plain[k], plain[k]) for k in range(weights))
    for k in range(weights):
        natural = torch.linalg.solve(fisher, plain[k])
        ours = log_derivative(torch.tensor([[[k]]]), pi[None, None])[0, 0, 0]
        torch.testing.assert_close(ours[:-1], natural, rtol=1e-6, atol=1e-8)
        assert float(ours.sum()) == pytest.approx(0, abs=1e-12)


@pytest.mark.long
def test_losses_without_a_preference_move_nothing_on_average() -> None:
    distribution = SearchDistribution(random_pi((1, 2, 3), 4))
    random = generator(5)
    total = torch.zeros_like(distribution.pi)
    repeats = 4000
    for _ in range(repeats):
        assignments = distribution.sample(4, random)
        u = utilities(torch.rand(4, generator=random, dtype=torch.float64))
        total += natural_gradient(assignments, u, distribution.pi)
    # an entry's standard deviation is at most S = 1/3; 5 standard errors
    assert float((total / repeats).abs().max()) < 5 / 3 / math.sqrt(repeats)


# -- step -------------------------------------------------------------------------------------


@pytest.mark.long
@many
@given(
    st.integers(2, 9),
    st.lists(st.integers(1, 20), min_size=1, max_size=3),
    st.sampled_from([0.01, 0.1, 1.0]),
    st.sampled_from([0.0, 0.001, 0.02]),
    seeds,
)
def test_probabilities_stay_probabilities_above_the_safe_bound(
    samples: int, weights: list[int], learning_rate: float, p_min: float, seed: int
) -> None:
    distribution = SearchDistribution.uniform(weights, 3)
    random = generator(seed)
    for _ in range(40):
        assignments = distribution.sample(samples, random)
        # always the same preference: it drives probabilities to the floor, and beyond
        losses = assignments.double().sum((1, 2))
        distribution.step(assignments, losses, learning_rate, p_min)
        pi = distribution.pi
        torch.testing.assert_close(
            pi.sum(-1), torch.ones(pi.shape[:2], dtype=torch.float64), rtol=0, atol=1e-14
        )
        for unit, count in enumerate(weights):
            bound = p_min / (1 + (count - 1) * p_min + learning_rate * largest_gradient(samples))
            assert float(pi[unit, :, :count].min()) >= bound - 1e-15
            assert not pi[unit, :, count:].any()


def test_the_step_follows_the_equations_number_by_number() -> None:
    distribution = SearchDistribution(random_pi((2, 3, 4), 1))
    before = distribution.pi.tolist()
    assignments = distribution.sample(5, generator(2))
    losses = [0.3, 0.1, 0.9, 0.1, 0.5]
    distribution.step(assignments, torch.tensor(losses), 0.5, 0.05)
    u = [0.0, 0.75, -1.0, 0.75, -0.5]  # ranks 3, 4.5, 1, 4.5, 2
    for unit in range(2):
        for task in range(3):
            row = []
            for weight in range(4):
                p = before[unit][task][weight]
                chosen = [int(a) == weight for a in assignments[:, unit, task]]
                gradient = sum(u[i] * (chosen[i] - p) for i in range(5)) / 5
                row.append(max(p + 0.5 * gradient, 0.05))
            expected = [p / sum(row) for p in row]
            assert distribution.pi[unit, task].tolist() == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("by_task", [False, True])
def test_the_better_of_two_weights_is_found(by_task: bool) -> None:
    best = torch.tensor([[0, 1, 1], [1, 0, 1]])
    distribution = SearchDistribution.uniform([2, 2], 3)
    random = generator(0)
    for _ in range(400):
        assignments = distribution.sample(8, random)
        losses = (assignments != best).double().sum(1)
        distribution.step(assignments, losses if by_task else losses.mean(1), 0.1, 0.001)
    assert torch.equal(distribution.mode(), best)
    assert float(distribution.pi.amax(-1).min()) > 0.9


def test_credit_by_task_ignores_the_losses_of_others() -> None:
    pi = random_pi((2, 3, 4), 3)
    first, second = SearchDistribution(pi), SearchDistribution(pi)
    assignments = first.sample(6, generator(1))
    losses = torch.rand(6, 3, generator=generator(2))
    first.step(assignments, losses, 0.1, 0.001)
    changed = losses.clone()
    changed[:, 1:] = torch.rand(6, 2, generator=generator(9))
    second.step(assignments, changed, 0.1, 0.001)
    assert torch.equal(first.pi[:, 0], second.pi[:, 0])
    assert not torch.equal(first.pi[:, 1:], second.pi[:, 1:])


def test_a_single_weight_stays_certain() -> None:
    distribution = SearchDistribution.uniform([1, 1], 2)
    assignments = distribution.sample(8, generator(0))
    assert not assignments.any()
    distribution.step(assignments, torch.rand(8), 0.1, 0.001)
    assert torch.equal(distribution.pi, torch.ones(2, 2, 1, dtype=torch.float64))
    assert distribution.entropy() == 0


def test_certainty_survives_where_nothing_may_change() -> None:
    identity = torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
    distribution = SearchDistribution(identity)
    for seed in range(5):
        assignments = distribution.sample(8, generator(seed))
        assert torch.equal(assignments, torch.arange(3).expand(8, 2, 3))
        distribution.step(assignments, torch.rand(8), 0.0, 0.0)
    assert torch.equal(distribution.pi, identity)


# -- the distribution itself ------------------------------------------------------------------


@many
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 4))
def test_the_start_is_uniform(weights: list[int], tasks: int) -> None:
    distribution = SearchDistribution.uniform(weights, tasks)
    for unit, count in enumerate(weights):
        row = torch.zeros(max(weights), dtype=torch.float64)
        row[:count] = 1 / count
        torch.testing.assert_close(distribution.pi[unit], row.expand(tasks, -1))
    expected = sum(math.log(count) for count in weights) / len(weights)
    assert distribution.entropy() == pytest.approx(expected)
    assert not distribution.mode().any()


@many
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 6), seeds)
def test_entropy_lies_between_zero_and_that_of_the_uniform(
    units: int, tasks: int, weights: int, seed: int
) -> None:
    distribution = SearchDistribution(random_pi((units, tasks, weights), seed))
    assert 0 <= distribution.entropy() <= math.log(weights) + 1e-12


def test_the_mode_is_the_most_probable_weight_of_each() -> None:
    pi = torch.tensor([[[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]], dtype=torch.float64)
    assert SearchDistribution(pi).mode().tolist() == [[1, 0]]


def test_samples_have_the_frequencies_of_the_distribution() -> None:
    pi = random_pi((2, 2, 3), 8)
    n = 20_000
    assignments = SearchDistribution(pi).sample(n, generator(1))
    assert assignments.shape == (n, 2, 2)
    for unit in range(2):
        for task in range(2):
            counts = assignments[:, unit, task].bincount(minlength=3)
            assert chisquare(counts.numpy(), (pi[unit, task] * n).numpy()).pvalue > 1e-3
    # the categoricals are independent: so are any two of them
    pair = assignments[:, 0, 0] * 3 + assignments[:, 1, 1]
    expected = torch.outer(pi[0, 0], pi[1, 1]).flatten() * n
    assert chisquare(pair.bincount(minlength=9).numpy(), expected.numpy()).pvalue > 1e-3


def test_weights_that_a_unit_lacks_are_never_drawn() -> None:
    assignments = SearchDistribution.uniform([1, 4, 2], 3).sample(500, generator(0))
    assert assignments.amax((0, 2)).tolist() == [0, 3, 1]


def test_the_same_generator_state_draws_the_same() -> None:
    distribution = SearchDistribution.uniform([4], 5)
    assert torch.equal(distribution.sample(6, generator(3)), distribution.sample(6, generator(3)))
    assert not torch.equal(
        distribution.sample(6, generator(3)), distribution.sample(6, generator(4))
    )


def test_state_comes_back_bit_for_bit_and_is_a_copy() -> None:
    distribution = SearchDistribution(random_pi((2, 3, 4), 1))
    state = distribution.state_dict()
    before = distribution.pi.clone()
    distribution.step(distribution.sample(4, generator(0)), torch.rand(4), 0.1, 0.001)
    assert not torch.equal(distribution.pi, before)
    distribution.load_state_dict(state)
    assert torch.equal(distribution.pi, before)
    distribution.pi[0, 0, 0] = 0
    assert torch.equal(state["pi"], before)


def test_state_of_another_size_is_refused() -> None:
    state = SearchDistribution.uniform([3, 3], 2).state_dict()
    with pytest.raises(MtlError, match=r"shape \(2, 2, 3\), this one has \(2, 2, 4\)"):
        SearchDistribution.uniform([4, 4], 2).load_state_dict(state)


@pytest.mark.parametrize(
    ("rows", "counts", "message"),
    [
        ([[1.5, -0.5]], None, "weight 1 for task 0 at unit 0 is -0.5"),
        ([[0.5, 0.4]], None, "sum to 0.9, which should be 1"),
        ([[math.nan, 1.0]], None, "is nan"),
        ([[0.5, 0.5]], [1], "do not fit"),
        ([[0.5, 0.5]], [2, 2], "do not fit"),
    ],
)
def test_what_is_no_distribution_is_refused(
    rows: list[list[float]], counts: list[int] | None, message: str
) -> None:
    with pytest.raises(MtlError, match=message):
        SearchDistribution(torch.tensor([rows], dtype=torch.float64), counts)


def test_padding_with_probability_is_refused() -> None:
    pi = torch.tensor([[[0.5, 0.5]], [[0.5, 0.5]]], dtype=torch.float64)
    with pytest.raises(MtlError, match="0 for weights that a unit does not have"):
        SearchDistribution(pi, [1, 2])
