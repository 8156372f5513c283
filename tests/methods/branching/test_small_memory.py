"""With a small memory budget these strategies measure, decide and train the same."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mtl_branching.fafs import Fafs, FafsConfig
from mtl_branching.grouping import TaskGrouping, TaskGroupingConfig
from mtl_branching.recon import Recon, ReconConfig
from support.adapter_loops import MODELS
from support.makers import make_backbone, make_batch, make_tasks
from torch import Tensor

from mtl_framework.data import Examples, Suite, Task

CLOSE: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-9}
ITERATIONS = 4


def trained(
    strategy: TaskGrouping | Recon | Fafs, common: bool, budget: int | None
) -> tuple[list[Tensor], int]:
    """Run the strategy's own loop in float64; losses and all state, and parts of the last step."""
    torch.manual_seed(1)
    tasks: Sequence[Task] = make_tasks((2, 3, 4))
    if common:
        shared = tasks[0].train.inputs
        pairs = [(t, Examples(shared, t.train.targets)) for t in tasks]
        tasks = [Task(t.name, t.objective, data, data) for t, data in pairs]
    suite = Suite("drawn", tasks, common_input=common)
    backbone = make_backbone("resnet18", normalization="shared", **MODELS["resnet18"])
    network = strategy.build(backbone, suite).double()
    network.memory_budget = budget
    batches = [make_batch(tasks, 8, seed, common_input=common) for seed in range(ITERATIONS)]
    waiting = iter(batches)
    run: Any = SimpleNamespace(
        iteration=0, iterations=ITERATIONS, next_batch=lambda: next(waiting), hint=lambda text: None
    )
    steps, found = strategy.optimize(run), []
    for _ in range(ITERATIONS):
        found.append(next(steps).loss.detach())
        run.iteration += 1
        found += [value.clone() for value in network.state_dict().values()]
    parts = len(network.plan(batches[0], network.assignment[None]).micro_batches)
    measured = ("total", "count", "conflicts", "chance", "pairs")
    found += [getattr(strategy, name).clone() for name in measured if hasattr(strategy, name)]
    if isinstance(strategy, Fafs):
        found.append(torch.from_numpy(strategy.difficulty.affinity()))
    return found, parts


def check(one: TaskGrouping | Recon | Fafs, other: TaskGrouping | Recon | Fafs, common: bool,
          parts: int) -> None:  # fmt: skip
    whole, at_once = trained(one, common, None)
    cut, in_parts = trained(other, common, 1)
    assert (at_once, in_parts) == (1, parts)
    assert len(whole) == len(cut)
    for wanted, found in zip(whole, cut, strict=True):
        torch.testing.assert_close(found, wanted, **CLOSE)


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("common", [False, True])
def test_micro_batches_measure_and_decide_the_same(restart: bool, common: bool) -> None:
    """Tasks with own inputs run one after the other; those that have one input at once."""
    options: dict[str, Any] = {
        "measure": 0.5, "every": 1, "restart": restart, "optimizer": "sgd", "learning_rate": 0.01,
    }  # fmt: skip
    grouping = TaskGroupingConfig(**options)
    check(TaskGrouping(grouping), TaskGrouping(grouping), common, 1 if common else 3)
    recon = ReconConfig(**options, threshold=0.05)
    check(Recon(recon), Recon(recon), common, 1 if common else 3)


def test_losses_of_rows_are_kept_with_a_small_budget() -> None:
    config = FafsConfig(alpha=1e6, stall=1, settle=0.25, optimizer="sgd")
    strategies = Fafs(config), Fafs(config)
    check(*strategies, True, 1)
    assert strategies[0].history == strategies[1].history
    assert len(strategies[0].history) == 3
