"""Recon finds the unit in which gradients conflict, and its two ends are full and no sharing."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mtl_baselines.ends import FullSharing, NoSharing
from mtl_baselines.fixed import FixedConfig
from mtl_branching.recon import Recon, ReconConfig, conflicts, flat_gradients, shuffle
from support.adapter_loops import MODELS
from support.dense import binary_suite, dense_backbone
from support.makers import make_backbone, make_batch, make_tasks
from torch import Tensor

from mtl_framework import TaskNetworks, task_gradients
from mtl_framework.data import Batch, Suite

UNITS = ("stem", "one", "two")


def meet_in(network: TaskNetworks, unit: int) -> None:
    """Let all tasks read one feature of a unit, each by a feature of its own of later units.

    The unit returns ones whatever it reads, so no gradient reaches the units below it.
    """
    with torch.no_grad():
        for number, name in enumerate(UNITS[unit:], unit):
            layer = network.model.get_submodule(f"{name}.copies.0.0")
            weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
            weight.zero_()
            bias.fill_(1 if number == unit else 0)
            for task in range(3):
                if number > unit:
                    weight[task, 0 if number == unit + 1 else task] = 1
        for task, head in enumerate(network.heads):
            head.get_parameter("weight").zero_()
            head.get_parameter("weight")[0, 0 if unit == len(UNITS) - 1 else task] = 1
            head.get_parameter("bias").zero_()


@pytest.mark.parametrize("unit", range(3))
def test_the_unit_that_opposite_tasks_have_in_common_comes_first(unit: int) -> None:
    torch.manual_seed(0)
    strategy = Recon(ReconConfig(parted=1))
    network = strategy.build(dense_backbone(shared=()), binary_suite(3))
    meet_in(network, unit)
    inputs, ones = torch.rand(16, 6), torch.ones(16, dtype=torch.int64)
    strategy.measure(Batch((inputs,) * 3, (ones, ones, 1 - ones), True))
    wanted = [0.0] * 3
    wanted[unit] = 2.0  # of three pairs, two are opposite
    assert strategy.conflicts.tolist() == wanted
    assert strategy.pairs.tolist() == [3.0] * 3
    assert strategy.decide().tolist() == [
        [0, 1, 2] if number == unit else [0, 0, 0] for number in range(3)
    ]


@pytest.mark.parametrize("ends", [(0, FullSharing), (4, NoSharing)])
def test_behind_the_restart_the_ends_train_what_full_and_no_sharing_train(
    ends: tuple[int, type[FullSharing | NoSharing]],
) -> None:
    """To the bit, from the same weights; what full sharing has no copies of stays as drawn."""
    parted, kind = ends
    suite = Suite("drawn", make_tasks((2, 3, 4)))
    backbone = make_backbone("resnet18", normalization="task", **MODELS["resnet18"])
    batches = [make_batch(suite.tasks, seed=seed, dtype=torch.float32) for seed in range(4)]
    strategy = Recon(ReconConfig(parted=parted, measure=0.5, every=1), seed=7)
    network = strategy.build(backbone, suite)
    begun: list[dict[str, Tensor]] = []

    def next_batch() -> Batch:
        begun.append({name: value.clone() for name, value in network.state_dict().items()})
        return batches[len(begun) - 1]

    run: Any = SimpleNamespace(
        iteration=0, iterations=4, next_batch=next_batch, hint=lambda text: None
    )
    steps, losses = strategy.optimize(run), []
    for _ in range(4):
        losses.append(next(steps).loss.detach().clone())
        run.iteration += 1
    torch.manual_seed(7)
    other = kind(FixedConfig())
    plain = other.build(backbone, suite)
    if kind is NoSharing:  # it has as many weights, and so draws the same
        assert all(torch.equal(value, begun[2][name]) for name, value in plain.state_dict().items())
    plain.load_state_dict({name: begun[2][name] for name in plain.state_dict()})
    for number in (2, 3):
        assert torch.equal(other.weight_step(batches[number]), losses[number])
    state = network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in plain.state_dict().items())
    assert not torch.equal(state["heads.0.weight"], begun[2]["heads.0.weight"])
    rest = state.keys() - plain.state_dict().keys()
    assert all(torch.equal(state[name], begun[2][name]) for name in rest)


def test_small_units_conflict_by_chance_and_large_ones_do_not() -> None:
    generator = torch.Generator().manual_seed(0)
    counts = []
    for entries in (4, 4000):
        rows = torch.randn(40, entries, generator=generator).double()
        rows = rows - rows.mean(1, keepdim=True)
        shuffled = shuffle(rows, generator)
        assert torch.equal(shuffled.sort(1).values, rows.sort(1).values)
        assert not torch.equal(shuffled, rows)
        counts.append(conflicts(shuffled, -0.1) / (40 * 39 / 2))
    assert counts[0] > 0.35
    assert counts[1] < 0.01


def test_the_null_shuffles_each_row_by_itself() -> None:
    """In one common order, equal rows would stay equal and never conflict."""
    generator = torch.Generator().manual_seed(0)
    row = torch.randn(1, 4000, generator=generator).double()
    rows = (row - row.mean()).repeat(40, 1)
    assert conflicts(rows, 0.0) == 0
    assert 0.4 < conflicts(shuffle(rows, generator), 0.0) / (40 * 39 / 2) < 0.6


def test_the_null_is_counted_beside_the_conflicts() -> None:
    """As loops count them that draw the same orders."""
    torch.manual_seed(0)
    strategy = Recon(ReconConfig(parted=1, threshold=0.05))
    network = strategy.build(dense_backbone(shared=()), binary_suite(3))
    inputs = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
    batch = Batch((inputs,) * 3, ((inputs[:, 0] > 0).long(),) * 3, True)
    strategy.start_measuring()
    strategy.generator.manual_seed(7)
    strategy.measure(batch)
    strategy.measure(batch)
    generator, wanted = torch.Generator().manual_seed(7), torch.zeros(3)
    gradients, _ = task_gradients(network, batch, network.assignment[None])
    for _ in range(2):
        for unit in range(3):
            rows = flat_gradients(gradients, network.bank_parameters(unit, 0))
            mixed = [row[torch.randperm(rows.shape[1], generator=generator)] for row in rows]
            for one in range(3):
                for other in range(one):
                    cosine = torch.cosine_similarity(mixed[one], mixed[other], dim=0)
                    wanted[unit] += float(cosine < 0.05)
    assert strategy.chance.tolist() == wanted.tolist()
    assert wanted.sum() > 0
