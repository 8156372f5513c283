"""What is a task's own stays where it is in steps in which the task has no label."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mtl_routing_networks.config import RoutingConfig
from mtl_routing_networks.gumbel import GumbelNetworks
from mtl_routing_networks.strategy import RoutingNetworks
from mtl_soft_ordering.config import SoftOrderingConfig
from mtl_soft_ordering.strategy import SoftOrdering
from mtl_soft_sharing.config import CrossStitchConfig, NddrConfig, SluiceConfig
from mtl_soft_sharing.nddr import Nddr
from mtl_soft_sharing.network import ColumnNetworks
from mtl_soft_sharing.sluice import Sluice
from mtl_soft_sharing.strategy import CrossStitch
from support.makers import make_backbone, make_batch, make_tasks
from torch import Tensor

from mtl_framework import MultiTaskModel, Strategy, TrainingConfig
from mtl_framework.data import Batch, Suite
from mtl_framework.strategies.recipe import Recipe

MODEL: dict[str, Any] = {"args": {"depths": (1, 3, 1, 1), "dims": (8, 12, 16, 20)}}
ABSENT = 2  # of the tasks 0, 1 and 2

GUMBEL: dict[str, Any] = {"router": "gumbel", "router_learning_rate": 0.1, "settle": 0}
MADE: Mapping[str, Callable[[], Strategy]] = {
    "soft_ordering": lambda: SoftOrdering(SoftOrderingConfig()),
    "sluice": lambda: Sluice(SluiceConfig()),
    "nddr": lambda: Nddr(NddrConfig()),
    "cross_stitch": lambda: CrossStitch(CrossStitchConfig()),
    "cross_stitch, early": lambda: CrossStitch(CrossStitchConfig(after=["stages.0"])),
    "gumbel": lambda: RoutingNetworks(RoutingConfig(**GUMBEL)),
    "gumbel, by decisions": lambda: RoutingNetworks(
        RoutingConfig(**GUMBEL, collaboration=1.0, collaboration_by="decisions")
    ),
}


def batches(suite: Suite) -> Iterator[Batch]:
    """Three with labels of all tasks, then others without one of task 2."""
    for seed in range(100):
        batch = make_batch(suite.tasks, sizes=6, seed=seed, dtype=torch.float32)
        none = torch.zeros(6, dtype=torch.bool)
        yield batch if seed < 3 else replace(batch, labelled=(None, None, none))


def steps(strategy: Strategy, iterations: int = 100) -> tuple[MultiTaskModel, Iterator[Any]]:
    torch.manual_seed(0)
    suite = Suite("drawn", make_tasks((2, 3, 4)))
    network = strategy.build(make_backbone("convnext_atto", normalization="task", **MODEL), suite)
    drawn = batches(suite)
    run: Any = SimpleNamespace(
        backbones=[], iteration=0, iterations=iterations, next_batch=lambda: next(drawn),
        hint=lambda text: None,
    )  # fmt: skip

    def trained() -> Iterator[Any]:
        for step in strategy.optimize(run):
            yield step
            run.iteration += 1

    return network, trained()


def rows(network: MultiTaskModel, task: int) -> dict[str, Tensor]:
    """What only this task needs, or the last mixture gives it: rows of parameters, and its head."""
    parts, found = network.parts_of_tasks(), {}
    for name, parameter in network.named_parameters():
        if isinstance(network, ColumnNetworks) and not name.startswith(f"mixers.{_last(network)}."):
            continue  # columns go on to others before the last mixture
        if parts.get(parameter) == len(network.tasks):
            each = len(parameter) // len(network.tasks)
            found[name] = parameter.detach()[task * each : (task + 1) * each].clone()
        elif f".behind.{task}." in name:
            assert parts[parameter] == 1
            found[name] = parameter.detach().clone()
    if isinstance(network, ColumnNetworks):  # and columns themselves, behind the last mixture
        for unit in range(_last(network) + 1, len(network.backbone.units)):
            for number, parameter in enumerate(network.bank_parameters(unit, task)):
                found[f"unit {unit}, {number}"] = parameter.detach().clone()
    for name, parameter in network.named_parameters():
        if name.startswith(f"heads.{task}."):
            found[name] = parameter.detach().clone()
    return found


def _last(network: ColumnNetworks) -> int:
    return max(int(unit) for unit in network.mixers)


@pytest.mark.parametrize("name", MADE)
def test_rows_of_a_task_without_labels_stay(name: str) -> None:
    network, trained = steps(MADE[name]())
    for _ in range(3):
        next(trained)
    before = [rows(network, task) for task in range(3)]
    assert len(before[ABSENT]) > 2
    for _ in range(2):
        next(trained)
    for key, value in rows(network, ABSENT).items():
        assert torch.equal(value, before[ABSENT][key]), key
    for key, value in rows(network, 0).items():
        assert not torch.equal(value, before[0][key]), key


def test_they_move_where_that_is_asked_for() -> None:
    strategy = MADE["soft_ordering"]()
    strategy.recipe = Recipe(TrainingConfig(unused_weights="move"), 100)
    network, trained = steps(strategy)
    for _ in range(3):
        next(trained)
    before = rows(network, ABSENT)
    next(trained)
    after = rows(network, ABSENT)
    assert all(not torch.equal(after[key], before[key]) for key in before)


def test_a_block_that_only_a_task_without_labels_draws_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strategy = MADE["gumbel"]()
    assert isinstance(strategy, RoutingNetworks)
    network, trained = steps(strategy)
    assert isinstance(network, GumbelNetworks)
    for _ in range(3):
        next(trained)

    def third_alone(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        noise = torch.zeros(shape)
        noise[:, :ABSENT, 0] = 100.0
        noise[:, ABSENT, 2] = 100.0
        return noise

    monkeypatch.setattr("mtl_routing_networks.strategy.gumbel_noise", third_alone)
    blocks = [bank.copies for bank in network.banks()]
    before = [[p.detach().clone() for p in copies[2].parameters()] for copies in blocks]
    first = [[p.detach().clone() for p in copies[0].parameters()] for copies in blocks]
    next(trained)
    for copies, kept, moved in zip(blocks, before, first, strict=True):
        for parameter, value in zip(copies[2].parameters(), kept, strict=True):
            assert torch.equal(parameter, value)
        changed = [
            not torch.equal(p, v) for p, v in zip(copies[0].parameters(), moved, strict=True)
        ]
        assert any(changed)


@pytest.mark.parametrize("router", ["wpl", "reinforce", "gumbel"])
def test_only_decisions_of_tasks_with_labels_are_remembered(router: str) -> None:
    options: dict[str, Any] = {"router": router, "paths": 2, "settle": 0}
    strategy = RoutingNetworks(RoutingConfig(**options))
    network, trained = steps(strategy)
    weights = len(network.tasks)

    def remembered() -> set[int]:
        blocks = strategy.recent.state_dict()["blocks"]  # K stands for no decision yet
        return {int(count) for count in (blocks < weights).sum(1)}

    for done in range(1, 4):
        next(trained)
        assert remembered() == {3 * 2 * done}
    next(trained)
    assert remembered() == {3 * 2 * 3 + 2 * 2}
