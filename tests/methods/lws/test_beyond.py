"""What goes beyond the paper: each option against an enumeration, and whole runs with all."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mtl_lws.beyond import credit, price, sampling
from mtl_lws.beyond.hardening import Hardening
from mtl_lws.config import LwsConfig
from mtl_lws.strategy import LearnedWeightSharing
from pydantic import ValidationError
from support.dense import binary_suite, dense_backbone
from support.tiny import TinyPlugins, content, finish, start
from torch import Tensor

from mtl_framework.data.batches import Batch
from mtl_framework.data.objectives import Binary
from mtl_framework.data.tasks import Examples, Suite, Task
from mtl_framework.strategies.search_distribution import SearchDistribution, log_derivative

GENERATOR = torch.Generator()


class Enumerated(SearchDistribution):
    """Gives the assignments that a test asks for, call by call."""

    calls: Iterator[Tensor]

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        drawn = next(self.calls)
        assert len(drawn) == n
        return drawn


def random_pi(units: int, tasks: int, weights: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    pi = torch.rand(units, tasks, weights, generator=generator, dtype=torch.float64) + 0.1
    return pi / pi.sum(-1, keepdim=True)


def all_assignments(units: int, tasks: int, weights: int) -> Tensor:
    choices = itertools.product(range(weights), repeat=units * tasks)
    return torch.tensor(list(choices)).reshape(-1, units, tasks)


def chances(assignments: Tensor, pi: Tensor) -> Tensor:
    """Return p(a | pi) of every assignment, equation 24."""
    picked = pi.expand(len(assignments), *pi.shape).gather(3, assignments[..., None])
    return picked.prod(2).prod(1)[:, 0]


def exact_gradient(loss: Tensor, every: Tensor, pi: Tensor) -> Tensor:
    """Natural gradient of the expected loss: sum over assignments of p * loss * (onehot - pi)."""
    weights = chances(every, pi) * loss
    return (weights[:, None, None, None] * log_derivative(every, pi)).sum(0)


# -- sampling -----------------------------------------------------------------------------------


def test_branches_double_from_the_first_unit_to_the_last() -> None:
    assert sampling.branches(4, 8) == [2, 4, 8, 8]
    assert sampling.branches(8, 8) == [2, 2, 4, 4, 4, 8, 8, 8]
    assert sampling.branches(3, 6) == [2, 4, 6]
    assert sampling.branches(2, 1) == [1, 1]


def test_nested_samples_have_the_right_distribution_and_gradient() -> None:
    """Every draw of 4 nested samples of 2 units, with its probability."""
    samples, pi = 4, random_pi(2, 1, 2)
    every = all_assignments(2, 1, 2)
    loss_of = torch.tensor([0.3, 2.0, -1.0, 0.7], dtype=torch.float64)
    marginals = torch.zeros(samples, len(every), dtype=torch.float64)
    raw, centred = torch.zeros_like(pi), torch.zeros_like(pi)
    distribution = Enumerated(pi)
    for combination in itertools.product(range(len(every)), repeat=samples):
        independent = every[list(combination)]
        p = float(chances(independent, pi).prod())
        distribution.calls = iter([independent])
        drawn = sampling.draw(distribution, samples, GENERATOR, "nested")
        assert len({tuple(row) for row in drawn[:, 0].tolist()}) <= 2  # two branches at first
        number = drawn[:, 0, 0] * 2 + drawn[:, 1, 0]
        marginals[torch.arange(samples), number] += p
        losses, direction = loss_of[number], log_derivative(drawn, pi)
        raw += p * (losses[:, None, None, None] * direction).mean(0)
        relative = (losses - losses.mean())[:, None, None, None]
        centred += p * (relative * direction).mean(0)
    torch.testing.assert_close(marginals, chances(every, pi).expand(samples, -1))
    exact = exact_gradient(loss_of, every, pi)
    torch.testing.assert_close(raw, exact)
    correction = sampling.centring_correction(2, samples, "nested")
    torch.testing.assert_close(centred * correction, (1 - 1 / samples) * exact)
    assert torch.equal(
        sampling.centring_correction(2, 4, "independent"), torch.ones(2, 1, 1).double()
    )


@settings(max_examples=40)
@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 9), st.integers(0, 99)
)
def test_stratified_samples_give_every_weight_its_share(
    units: int, tasks: int, weights: int, samples: int, seed: int
) -> None:
    distribution = SearchDistribution(random_pi(units, tasks, weights, seed))
    generator = torch.Generator().manual_seed(seed)
    drawn = sampling.draw(distribution, samples, generator, "stratified")
    counts = torch.nn.functional.one_hot(drawn, weights).sum(0)
    assert bool(((counts - samples * distribution.pi).abs() < 1 + 1e-9).all())


def test_stratified_samples_are_distributed_as_independent_ones() -> None:
    """The first of two samples, over many draws, against p(a | pi) of all 16 assignments."""
    distribution = SearchDistribution(random_pi(2, 2, 2, 3))
    generator, draws = torch.Generator().manual_seed(0), 4000
    first = torch.stack(
        [sampling.draw(distribution, 2, generator, "stratified")[0] for _ in range(draws)]
    )
    number = (first.reshape(draws, 4) * torch.tensor([8, 4, 2, 1])).sum(1)
    found = torch.bincount(number, minlength=16).double() / draws
    expected = chances(all_assignments(2, 2, 2), distribution.pi)
    spread = (expected * (1 - expected) / draws).sqrt()
    assert bool(((found - expected).abs() < 4.5 * spread).all())


def test_certain_choices_are_never_missed() -> None:
    pi = torch.tensor([[[0.0, 1.0, 0.0]]], dtype=torch.float64)
    for way in ("stratified", "nested", "independent"):
        drawn = sampling.draw(SearchDistribution(pi), 7, torch.Generator().manual_seed(1), way)
        assert drawn.flatten().tolist() == [1] * 7


# -- credit -------------------------------------------------------------------------------------


def test_credit_by_unit_is_the_gradient_of_one_unit_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples, pi = 2, random_pi(2, 1, 2, 1)
    every = all_assignments(2, 1, 2)
    loss_of = torch.tensor([0.3, 2.0, -1.0, 0.7], dtype=torch.float64)
    found = torch.zeros_like(pi)
    distribution = Enumerated(pi)
    for unit in (0, 1):
        monkeypatch.setattr(torch, "randint", lambda *_, unit=unit, **__: torch.tensor([unit]))
        for common, first, second in itertools.product(range(4), repeat=3):
            drawn = every[[first, second]]
            p = float(chances(every[[common, first, second]], pi).prod()) / 2
            distribution.calls = iter([every[[common]], drawn])
            assignments = credit.differ_at_one_unit(distribution, samples, GENERATOR)
            assert torch.equal(assignments[0, 1 - unit], assignments[1, 1 - unit])
            losses = loss_of[assignments[:, 0, 0] * 2 + assignments[:, 1, 0]]
            relative = (losses - losses.mean())[:, None, None, None]
            step = (relative * log_derivative(assignments, pi)).mean(0)
            torch.testing.assert_close(step[1 - unit], torch.zeros_like(step[1 - unit]))
            found += p * step
    exact = exact_gradient(loss_of, every, pi)
    torch.testing.assert_close(found, (1 - 1 / samples) * exact / 2)  # two units, in turn


# -- price --------------------------------------------------------------------------------------


def test_the_expected_size_is_that_of_all_assignments() -> None:
    pi, costs = random_pi(2, 3, 2), torch.tensor([0.3, 0.7], dtype=torch.float64)
    every = all_assignments(2, 3, 2)
    p, sizes = chances(every, pi), price.size(every, costs)
    assert math.isclose(float(p @ sizes), price.expected_size(pi, costs))
    shared, apart = torch.zeros(1, 2, 3).long(), torch.arange(3).repeat(1, 2, 1)
    assert price.size(shared, costs).tolist() == pytest.approx([1])
    assert price.size(apart, costs).tolist() == pytest.approx([3])
    own = price.own_size(every, pi, costs)
    for task in range(3):
        others = [t for t in range(3) if t != task]
        without = price.expected_size(pi[:, others], costs)
        for choice in every[:, :, task].unique(dim=0):
            same = (every[:, :, task] == choice).all(1)
            expected = float(p[same] @ sizes[same] / p[same].sum()) - without
            torch.testing.assert_close(own[same, task], torch.full_like(own[same, task], expected))


@pytest.mark.parametrize("credit", ["joint", "task"])
def test_a_high_price_makes_the_network_small(credit: Literal["joint", "task"]) -> None:
    config = LwsConfig(price=1e6, credit=credit, nes_learning_rate=0.2)
    strategy = LearnedWeightSharing(config, 1)
    strategy.build(dense_backbone(), binary_suite(3))
    assert strategy._costs is not None
    inputs = torch.rand(4, 6)
    batch = Batch((inputs,) * 3, (torch.tensor([0, 1, 0, 1]),) * 3)
    before = price.expected_size(strategy.distribution.pi, strategy._costs)
    for _ in range(100):
        strategy.search_step(batch)
    after = price.expected_size(strategy.distribution.pi, strategy._costs)
    assert before == pytest.approx(3 * (1 - (2 / 3) ** 3))  # 2.11 of 3 weights, all alike
    assert after < 0.8 * before


# -- hardening ----------------------------------------------------------------------------------


def test_schedules_move_equally_far_and_the_end_is_the_mode() -> None:
    for schedule in ("constant", "rise", "fall"):
        hardening, total = Hardening(schedule, 0.5), 0.0
        distribution = SearchDistribution(random_pi(2, 2, 3))
        for iteration in range(50):
            hardening.update(distribution, iteration / 100)
            total += hardening.rate(0.1, iteration / 100)
        assert not hardening.frozen
        assert math.isclose(total, 5, rel_tol=0.03)
        mode = distribution.mode()
        hardening.update(distribution, 0.5)
        assert hardening.frozen
        assert distribution.entropy() == 0
        assert torch.equal(distribution.mode(), mode)
        assert bool((distribution.sample(3) == mode).all())
        hardening.update(distribution, 0.25)  # the run was made longer
        assert hardening.frozen


# -- whole runs ---------------------------------------------------------------------------------

EVERYTHING: list[dict[str, Any]] = [
    {"search_data": 0.25, "fold_back": 0.34, "credit": "task", "sampling": "nested", "price": 0.1},
    {"credit": "unit", "sampling": "stratified", "nes_schedule": "rise", "freeze_after": 0.67},
    {"prior": "conflict", "prior_iterations": 2, "search_data": 0.3, "freeze_after": 0.5},
    {"prior": "shared", "credit": "task", "ranked_on": "weight_step", "weight_samples": 2},
    {"prior": "own", "search_data": 0.3, "nes_schedule": "fall"},
    {"estimator": "gumbel", "search_data": 0.25, "price": 0.1, "freeze_after": 0.84},
]


@pytest.mark.parametrize(
    "options", [*({"name": "learned", **one} for one in EVERYTHING), {"name": "roaming"}]
)
def test_stopped_runs_go_on_as_if_they_had_not_been(
    options: dict[str, Any], tmp_path: Path
) -> None:
    roaming: Any = "mtl_lws.roaming:Roaming"
    plugins = TinyPlugins(roaming=roaming)
    finish(start(tmp_path / "straight", plugins, strategy=options))
    folder = tmp_path / "stopped"
    finish(start(folder, plugins, strategy=options), stop_at=3)
    finish(start(folder, plugins, strategy=options, resume=True))
    assert content(folder) == content(tmp_path / "straight")


def test_weights_never_see_search_data_before_it_is_folded_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[set[bytes]]] = {"search_step": [], "weight_step": []}

    def spy(name: str) -> None:
        original = getattr(LearnedWeightSharing, name)

        def step(self: LearnedWeightSharing, batch: Batch, *rest: Any) -> Tensor:
            seen[name].append({x.numpy().tobytes() for inputs in batch.inputs for x in inputs})
            result: Tensor = original(self, batch, *rest)
            return result

        monkeypatch.setattr(LearnedWeightSharing, name, step)

    spy("search_step")
    spy("weight_step")
    options = {"name": "learned", "search_data": 0.25, "fold_back": 0.25}
    start(tmp_path / "run", strategy=options, iterations=40, eval_every=40).execute()
    apart = slice(0, 30)
    weights = set().union(*seen["weight_step"][apart])
    search = set().union(*seen["search_step"][apart])
    assert not weights & search
    assert len(search) == 12  # a quarter of 24 examples of each of two tasks
    assert search <= set().union(*seen["weight_step"][30:])


def test_a_frozen_search_trains_the_mode_alone(tmp_path: Path) -> None:
    options = {"name": "learned", "freeze_after": 0.5, "shared_start": 0}
    run = start(tmp_path / "run", strategy=options)
    run.execute()
    strategy = run.strategy
    assert isinstance(strategy, LearnedWeightSharing)
    assert strategy.distribution.entropy() == 0
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert sum("nes_loss" in line for line in lines) == 3  # of six iterations


def test_nested_samples_do_not_go_with_credit_by_unit() -> None:
    with pytest.raises(ValidationError, match="should not have sampling 'nested'"):
        LwsConfig(credit="unit", sampling="nested")


@pytest.mark.parametrize(
    ("examples", "streams", "share"), [(400, None, 0.25), (399, None, 0), (400, 4, 0)]
)
def test_examples_are_held_out_by_default_where_there_are_enough(
    examples: int, streams: int | None, share: float
) -> None:
    inputs, targets = torch.rand(examples, 6), torch.arange(examples) % 2
    train = Examples(inputs, targets, streams=streams)
    tasks = [
        Task("large", Binary(), Examples(torch.rand(900, 6), torch.arange(900) % 2), train),
        Task("other", Binary(), train, train),
    ]
    strategy = LearnedWeightSharing(LwsConfig(), 1)
    strategy.build(dense_backbone(), Suite("sized", tasks))
    assert (strategy.data.share if strategy.data else 0) == share
    explicit = LearnedWeightSharing(LwsConfig(search_data=0.1), 1)
    explicit.build(dense_backbone(), Suite("sized", tasks))
    assert explicit.data is not None
