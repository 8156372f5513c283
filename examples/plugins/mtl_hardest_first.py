"""Hardest first: full sharing in which tasks count by how far they are behind."""

from collections.abc import Generator
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from mtl_framework import (
    Backbone,
    Step,
    Strategy,
    StrategyConfig,
    TaskNetworks,
    TrainingRun,
    hookimpl,
)
from mtl_framework.data import Suite


class HardestFirstConfig(StrategyConfig):
    """These options have types, bounds and defaults, which the command line checks."""

    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate")
    memory: float = Field(
        0.9, ge=0, lt=1, description="share of the old average that stays when losses are smoothed"
    )


class Smoothed(nn.Module):
    """This module smooths every task's loss over steps, as a share of its first one."""

    def __init__(self, tasks: int, memory: float) -> None:
        super().__init__()
        self.memory = memory
        self.first: Tensor
        self.mean: Tensor
        self.register_buffer("first", torch.zeros(tasks))
        self.register_buffer("mean", torch.zeros(tasks))

    def update(self, losses: Tensor) -> None:
        """Let the losses (tasks,) of a step enter the means."""
        if not self.first.any():
            self.first.copy_(losses)
            self.mean.copy_(losses)
        self.mean.lerp_(losses, 1 - self.memory)

    def weights(self) -> Tensor:
        """Return weights (tasks,), larger for tasks that have learned less; their mean is one."""
        if not self.first.any():
            return torch.ones_like(self.mean)
        shares = self.mean / self.first.clamp(min=1e-8)
        return shares / shares.mean()


class HardestFirst(Strategy):
    """All tasks share every unit; the loss of each is weighted by how much of it is left."""

    Config = HardestFirstConfig
    config: HardestFirstConfig
    network: TaskNetworks

    def build(self, backbone: Backbone, suite: Suite) -> TaskNetworks:
        """Make networks that share every unit, and the means that the loop remembers."""
        self.network = TaskNetworks(backbone, suite.tasks, weights_per_unit=1)
        self.smoothed = Smoothed(len(suite), self.config.memory)
        self.optimizer = torch.optim.Adam(self.network.parameters(), self.config.learning_rate)
        return self.network

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        """Train on weighted losses; the means are attributes, so that a resumed run has them."""
        assignments = self.network.assignment.cpu()[None]  # all zeros: the only weight
        while True:
            self.network.train()
            self.optimizer.zero_grad()
            weights = self.smoothed.weights() / len(self.network.tasks)
            losses = self.network.accumulate_gradients(run.next_batch(), assignments, weights[None])
            self.optimizer.step()
            self.smoothed.update(losses[0].cpu())
            yield Step(losses, {"largest_weight": float(weights.max())})


@hookimpl
def mtl_strategies() -> dict[str, Any]:
    """Contribute the strategy of this plugin by name."""
    return {"hardest_first": HardestFirst}
