"""The loop of fully-adaptive sharing: what it measures, when it splits, and averages of weights."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mtl_branching.difficulty import best_split, branch_affinity
from mtl_branching.fafs import Fafs, FafsConfig, split_cost
from support.adapter_loops import MODELS
from support.makers import make_backbone, make_batch, make_tasks, on_one_input
from torch import Tensor

from mtl_framework import TrainingConfig
from mtl_framework.data import Batch
from mtl_framework.strategies.recipe import Recipe


def built(training: TrainingConfig | None = None, **options: Any) -> Fafs:
    """Three tasks that read common inputs, in float64."""
    torch.manual_seed(1)
    strategy = Fafs(FafsConfig(**options))
    if training is not None:
        strategy.recipe = Recipe(training, 10)
    backbone = make_backbone("resnet18", normalization="task", **MODELS["resnet18"])
    strategy.build(backbone, on_one_input(make_tasks((2, 3, 4)))).double()
    return strategy


def plain_losses(strategy: Fafs, batch: Batch) -> np.ndarray:
    """Losses (tasks, examples) of each task's plain network, which normalises its own rows."""
    rows = []
    for task, own in enumerate(strategy.network.tasks):
        scores = strategy.network.extract(task).train()(batch.inputs[task])
        rows.append(own.objective.losses(scores, batch.targets[task]).detach().numpy())
    return np.stack(rows)


def test_the_run_s_own_steps_feed_the_affinities_that_decide_a_split() -> None:
    """Every batch counts once, with the losses before its step; the split is that of the loops."""
    strategy = built(alpha=0.5, stall=3, settle=0.0, memory=0.8, learning_rate=0.01)
    network, last = strategy.network, len(strategy.network.weights_per_unit) - 1
    batches = [make_batch(network.tasks, 8, seed, common_input=True) for seed in range(4)]
    waiting, hints = iter(batches), list[str]()
    run: Any = SimpleNamespace(
        iteration=0, iterations=4, next_batch=lambda: next(waiting), hint=hints.append
    )
    steps = strategy.optimize(run)
    means, seen = np.zeros(3), 0.0
    agreed = np.zeros((3, 3))
    for number, batch in enumerate(batches):
        rows = plain_losses(strategy, batch)
        step = next(steps)
        run.iteration += 1
        assert step.loss.flatten().tolist() == pytest.approx(rows.mean(1))
        margins = 1 - np.exp(-rows)
        seen = 0.8 * seen + 1
        means = 0.8 * means + margins.mean(1)
        hard = margins >= (means / seen)[:, None]
        same = (hard[:, None] == hard[None]).mean(2)
        agreed = 0.8 * agreed + same
        wanted = agreed / seen
        assert strategy.difficulty.affinity() == pytest.approx(wanted)
        if number == 2:
            branches = branch_affinity(wanted, [[0], [1], [2]])
            groups = best_split(branches, split_cost(network, last), 0.5, 3)
            assert len(groups) > 1
            row = network.assignment[last].tolist()
            assert [[t for t in range(3) if row[t] == g] for g in range(len(groups))] == groups
            assert strategy.history == [[3, last]]
            assert len(hints) == 1
        assert (strategy.active == last) == (number < 2)


def test_a_split_begins_the_average_of_the_weights_anew() -> None:
    """What a copy was before it was a copy is no part of its average."""
    average = {"name": "swa"}
    strategy = built(TrainingConfig.model_validate({"average": average}), alpha=1e6)
    network, kept = strategy.network, strategy.optimizer.average
    assert kept is not None

    def step(seed: int) -> dict[str, Tensor]:
        network.train()
        strategy.optimizer.zero_grad()
        batch = make_batch(network.tasks, 8, seed, common_input=True)
        network.accumulate_gradients(batch, network.assignment[None])
        strategy.optimizer.step()
        strategy.difficulty.add(network.last_rows(batch))
        return {name: p.detach().clone() for name, p in network.named_parameters()}

    def averaged() -> dict[str, Tensor]:
        kept.swap()
        values = {name: p.detach().clone() for name, p in network.named_parameters()}
        kept.swap()
        return values

    for seed in range(3):
        step(seed)
    assert strategy.split()
    behind = [step(seed) for seed in (3, 4)]
    for name, value in averaged().items():
        torch.testing.assert_close(value, (behind[0][name] + behind[1][name]) / 2, msg=name)
