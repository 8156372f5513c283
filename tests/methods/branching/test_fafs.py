"""Fully-adaptive sharing: affinities, the choice of a split, and that a split changes no output."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mtl_branching.difficulty import Difficulty, best_split, branch_affinity, separation
from mtl_branching.fafs import Fafs, FafsConfig, split_cost
from mtl_branching.figures import measured_figures
from mtl_branching.tree import leaf_order
from support.adapter_loops import MODELS
from support.makers import make_backbone, make_batch, make_tasks, on_one_input
from torch import Tensor

from mtl_framework import RunRecord
from mtl_framework.data import Suite
from mtl_framework.networks.result import Result
from mtl_framework.reports.figure import png
from mtl_framework.support.errors import MtlError
from mtl_framework.testing import Oracle, Trial, small_suite


def grown(name: str, mode: str = "task", **options: Any) -> Fafs:
    """Three tasks that read common inputs, in float64, two steps in."""
    torch.manual_seed(1)
    suite = on_one_input(make_tasks((2, 3, 4)))
    strategy = Fafs(FafsConfig(**options))
    strategy.build(make_backbone(name, normalization=mode, **MODELS[name]), suite).double()
    for seed in range(2):
        train(strategy, seed)
    return strategy


def train(strategy: Fafs, seed: int) -> None:
    network = strategy.network
    network.train()
    strategy.optimizer.zero_grad()
    batch = make_batch(network.tasks, 8, seed, common_input=True)
    network.accumulate_gradients(batch, network.assignment[None])
    strategy.optimizer.step()
    strategy.difficulty.add(network.last_rows(batch))


@given(
    gamma=st.floats(0.5, 0.99),
    batches=st.integers(1, 4),
    seed=st.integers(0, 999),
    lacking=st.booleans(),
)
def test_affinities_are_weighted_shares_of_agreement(
    gamma: float, batches: int, seed: int, lacking: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    difficulty = Difficulty(3, gamma)
    sums, agreed = np.zeros((3, 2)), np.zeros((3, 3, 2))
    for _ in range(batches):
        losses = torch.rand(3, 5, generator=generator) * 2
        if lacking:
            losses[torch.rand(3, 5, generator=generator) < 0.3] = torch.nan
        difficulty.add(losses)
        margins = 1 - np.exp(-losses.double().numpy())
        hard = np.zeros((3, 5))
        for task in range(3):
            own = margins[task][~np.isnan(margins[task])]
            if len(own):
                sums[task] = gamma * sums[task] + [own.mean(), 1]
            hard[task] = margins[task] >= sums[task, 0] / max(sums[task, 1], 1e-12)
        for one in range(3):
            for other in range(3):
                both = ~np.isnan(margins[one]) & ~np.isnan(margins[other])
                if both.any():
                    same = (hard[one] == hard[other])[both].mean()
                    agreed[one, other] = gamma * agreed[one, other] + [same, 1]
    affinity = difficulty.affinity()
    for one in range(3):
        for other in range(3):
            total, weight = agreed[one, other]
            wanted = 1.0 if one == other else total / weight if weight else 0.5
            assert affinity[one, other] == pytest.approx(wanted, abs=1e-6)
    assert (affinity == affinity.T).all()
    assert affinity.min() >= 0
    before = affinity.copy()
    difficulty.add(torch.full((3, 4), torch.nan))
    assert (difficulty.affinity() == before).all()


def test_equal_tasks_agree_and_independent_ones_half_of_the_time() -> None:
    difficulty = Difficulty(3, 0.99)
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        one, other = torch.rand(2, 64, generator=generator)
        difficulty.add(torch.stack([one, one, other]))
    affinity = difficulty.affinity()
    assert affinity[0, 1] == pytest.approx(1)
    assert affinity[0, 2] == pytest.approx(0.5, abs=0.03)


def test_the_worked_example_of_a_split() -> None:
    """Tasks 0 and 1 are the same, task 2 is independent of them."""
    affinity = np.array([[1, 1, 0.499], [1, 1, 0.499], [0.499, 0.499, 1]])
    branches = branch_affinity(affinity, [[0], [1], [2]])
    assert np.allclose(branches, affinity)
    low, top = 2**5 / 64, 1 / 64
    assert best_split(branches, low, 0.1, 3) == [[0, 1, 2]]
    assert best_split(branches, low, 1.0, 3) == [[0, 1], [2]]
    assert separation(branches, [[0, 1, 2]]) == pytest.approx(0.501)
    assert best_split(branches, top, 0.1, 3) == [[0, 1], [2]]
    assert best_split(branches, top, 0.0, 3) == [[0, 1, 2]]
    assert best_split(branches, top, 1e6, 3) == [[0, 1], [2]]  # a third branch would gain nothing
    assert best_split(branches, top, 1e6, 1) == [[0, 1, 2]]
    above = branch_affinity(affinity, [[0, 2], [1]])
    assert above[0, 0] == pytest.approx(0.499)
    assert above[0, 1] == pytest.approx((0.7495 + 0.499) / 2)


@given(seed=st.integers(0, 200), alpha=st.floats(0.01, 100))
def test_a_task_is_not_parted_from_its_copy_before_others_part(seed: int, alpha: float) -> None:
    affinity = np.random.default_rng(seed).uniform(0.4, 0.9, (4, 4))
    affinity = (affinity + affinity.T) / 2
    np.fill_diagonal(affinity, 1)
    twice = [0, 1, 2, 3, 3]
    groups = best_split(affinity[np.ix_(twice, twice)], 1 / 64, alpha, 5)
    assert any({3, 4} <= set(group) for group in groups)


@pytest.mark.parametrize(
    ("name", "mode", "optimizer"),
    [("resnet18", "task", "sgd"), ("convnext_atto", "shared", "adam")],
)
def test_a_split_changes_no_output_and_copies_everything(
    name: str, mode: str, optimizer: str
) -> None:
    strategy = grown(name, mode, alpha=1e6, optimizer=optimizer)
    network, last = strategy.network, len(strategy.network.weights_per_unit) - 1
    inputs = make_batch(network.tasks, seed=9).inputs[0]
    network.eval()
    before = [network.predict(task, inputs) for task in range(3)]
    counts = network.parameter_counts()
    for number in range(2):
        assert strategy.split()
        groups = int(network.assignment[last - number].max()) + 1
        unit = network.backbone.units[last - number].num_parameters
        grew = network.parameter_counts().trained - counts.trained
        assert grew == (groups - 1) * unit
        counts = network.parameter_counts()
        for task in range(3):
            torch.testing.assert_close(
                network.predict(task, inputs), before[task], rtol=1e-10, atol=1e-10
            )
        for weight in range(1, groups):
            pairs = zip(
                network.bank_parameters(last - number, 0),
                network.bank_parameters(last - number, weight),
                strict=True,
            )
            for old, new in pairs:
                moments = [strategy.optimizer.state[p] for p in (old, new)]
                assert moments[0].keys() == moments[1].keys() != set()
                for key, value in moments[0].items():
                    if isinstance(value, Tensor):
                        assert value is not moments[1][key]
                        assert torch.equal(value, moments[1][key])
    assert strategy.active == last - 2
    batch = make_batch(network.tasks, seed=3, common_input=True)
    wanted = Oracle(network).step(batch, network.assignment[None])
    network.train()
    losses = network.losses(batch, network.assignment[None])
    torch.testing.assert_close(losses.detach(), wanted.losses, rtol=1e-10, atol=1e-10)
    train(strategy, 5)  # copies go ways of their own
    one, other = (network.bank_parameters(last, weight)[0] for weight in (0, 1))
    assert not torch.equal(one, other)


def test_without_weight_nothing_splits_and_with_much_of_it_all_do() -> None:
    never = grown("resnet18", alpha=0.0)
    assert not never.split()
    assert never.active == len(never.network.weights_per_unit) - 1
    assert never.network.assignment.sum() == 0
    always = grown("resnet18", alpha=1e6)
    while always.active >= 0:
        assert always.split()
    affinity = always.difficulty.affinity()
    assert affinity[~np.eye(3, dtype=bool)].max() < 1  # so whoever stays together costs something
    rows = always.network.assignment.tolist()
    assert rows == [[0, 1, 2]] * len(rows)


@pytest.mark.parametrize("columns", [2, 3])
def test_what_has_parted_stays_apart_whatever_is_measured_later(columns: int) -> None:
    strategy = grown("resnet18", alpha=1e6, columns=columns)
    generator = torch.Generator().manual_seed(0)
    while strategy.active >= 0:  # every unit finds other affinities
        strategy.difficulty = Difficulty(3, 0.5)
        strategy.difficulty.add(torch.rand(3, 16, generator=generator))
        assert strategy.split()
    rows = strategy.network.assignment.tolist()
    assert all(len(set(row)) == columns for row in rows)
    for lower, upper in pairwise(rows):  # who shares above shares below
        for one in range(3):
            for other in range(3):
                assert upper[one] != upper[other] or lower[one] == lower[other]


def test_splits_of_large_maps_cost_more() -> None:
    network = grown("resnet18").network
    costs = [split_cost(network, unit) * 64 for unit in range(len(network.weights_per_unit))]
    assert costs == [8, 4, 2, 1]
    transformer = grown("vit_tiny_patch16_224").network
    assert split_cost(transformer, 0) == 1 / 64


def test_labels_of_few_tasks_reach_their_rows() -> None:
    strategy = grown("resnet18")
    network = strategy.network
    full = make_batch(network.tasks, 4, common_input=True)
    some = torch.tensor([True, False, True, True])
    none, every = torch.zeros(4, dtype=torch.bool), torch.ones(4, dtype=torch.bool)
    batch = type(full)(full.inputs, full.targets, True, labelled=(every, some, none))
    network.train()
    losses = network.losses(batch, network.assignment[None])[0]
    rows = network.last_rows(batch)
    assert rows.isnan().tolist() == [[False] * 4, [False, True, False, False], [True] * 4]
    torch.testing.assert_close(rows[0].mean(), losses[0].detach().float())
    torch.testing.assert_close(rows[1, some].mean(), losses[1].detach().float())


def test_the_figure_shows_the_tree(tmp_path: Path) -> None:
    trial = Trial("fafs", {"alpha": 1e6, "stall": 1})
    run = trial.start(tmp_path / "run")
    run.execute()
    assert isinstance(run.strategy, Fafs)
    assert run.strategy.length_options() == ["strategy.settle"]
    assert [unit for _, unit in run.strategy.history] == [2, 1, 0]
    result = Result.load(tmp_path / "run")
    record = RunRecord("grown", "trial", "trial", 0, tmp_path / "run", 6, "done", result)
    (figure,) = measured_figures([record])
    assert "high at iteration 1, mid at iteration 2" in figure.caption
    assert png(figure.figure).startswith(b"\x89PNG")
    assert leaf_order([[0, 0, 0], [0, 1, 0], [0, 1, 2]]) == [0, 2, 1]


def test_tasks_with_inputs_of_their_own_are_refused(tmp_path: Path) -> None:
    trial = Trial("fafs", make_suite=lambda common_input: small_suite())
    with pytest.raises(MtlError, match=r"compares tasks on the same examples; .* their own"):
        trial.start(tmp_path / "run")


def test_a_task_alone_is_refused_for_being_alone(tmp_path: Path) -> None:
    alone = Suite("alone", small_suite().tasks[:1])
    trial = Trial("fafs", make_suite=lambda common_input: alone)
    with pytest.raises(MtlError, match=r"fafs needs at least two tasks, suite .* has one"):
        trial.start(tmp_path / "run")


def test_many_branches_are_clustered() -> None:
    group = np.arange(9) % 3
    affinity = np.where(group[:, None] == group, 0.95, 0.5)
    np.fill_diagonal(affinity, 1)
    assert best_split(affinity, 1 / 64, 1.0, 9) == [[n, n + 3, n + 6] for n in range(3)]
