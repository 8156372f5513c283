"""Strategies whose assignment is known before training have this in common."""

from abc import abstractmethod
from collections.abc import Generator
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from mtl_framework import (
    Backbone,
    InitialWeights,
    SeparateNetworks,
    SharedStart,
    SharedStartConfig,
    Step,
    Strategy,
    StrategyConfig,
    TaskNetworks,
    TrainingRun,
    renumber,
)
from mtl_framework.data import Batch, Suite


class FixedConfig(InitialWeights, SharedStartConfig):
    """These are options of training with a fixed assignment."""

    learning_rate: float = Field(
        1e-3, gt=0, description="Adam's learning rate, of weights and heads"
    )
    gradient_scaling: Literal["paper", "usage"] = Field(
        "paper",
        description="how the gradient of a weight is scaled; paper: it is that of the mean "
        "loss; usage (published code): it is divided by the number of tasks that "
        "use the weight",
    )


class FixedStrategy(Strategy):
    """An iteration is one Adam step on the mean of the tasks' losses, with a fixed assignment.

    These are the baselines of Prellberg and Kramer, IJCNN 2020, arXiv 2003.10159, section IV. A
    subclass says which tasks share which units.
    """

    Config: ClassVar[type[StrategyConfig]] = FixedConfig
    config: Any
    network: TaskNetworks | SeparateNetworks
    shared_start: SharedStart | None = None

    @abstractmethod
    def groups(self, backbone: Backbone, suite: Suite) -> Int64[Tensor, "units tasks"]:
        """Return group numbers: tasks with equal numbers in a row share that unit."""

    def build(self, backbone: Backbone, suite: Suite) -> TaskNetworks:
        """Make networks with as many weights for a unit as it has groups of tasks."""
        assignment = renumber(self.groups(backbone, suite))
        network = TaskNetworks(backbone, suite.tasks, (assignment.amax(1) + 1).tolist())
        network.initialize(self.config.initialization_of(backbone))
        self.shared_start = self.config.make_shared_start()
        if self.shared_start is None:  # otherwise all tasks use weight 0 for now
            network.assignment.copy_(assignment)
        self._decided = assignment
        self.network = network
        self.optimizer = self.make_optimizer(network, "adam", self.config.learning_rate)
        return network

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        """Train plainly: draw a batch, do a step."""
        while True:
            if self.shared_start is not None and isinstance(self.network, TaskNetworks):
                self.shared_start.is_on(run, self.network, self.optimizer, self._decided)
            yield Step(self.weight_step(run.next_batch()))

    def length_options(self) -> list[str]:
        """Name the share of the run in which everything is shared."""
        return ["strategy.shared_start"] if self.config.shared_start else []

    def weight_step(self, batch: Batch) -> Float[Tensor, "*samples tasks"]:
        """Move the weights along the gradient of the mean loss."""
        self.network.train()
        self.optimizer.zero_grad()
        losses = self.gradients(batch)
        self.optimizer.step()
        return losses

    def gradients(self, batch: Batch) -> Float[Tensor, "*samples tasks"]:
        """Add the gradients of a step to the parameters, and return the losses."""
        network, by_usage = self.network, self.config.gradient_scaling == "usage"
        if isinstance(network, SeparateNetworks):  # each weight has one user
            weights = torch.ones(len(network.tasks)) if by_usage else None
            return network.accumulate_gradients(batch, weights)
        losses = network.accumulate_gradients(batch, network.assignment[None])
        if by_usage and self.optimizer.moves_next:  # gradients of all steps since the last move
            network.scale_gradients_by_usage(usage(network.assignment))
        return losses


def usage(assignment: Int64[Tensor, "units tasks"]) -> Float[Tensor, "units weights"]:
    """Count the tasks that use each weight of every unit."""
    return torch.nn.functional.one_hot(assignment).sum(1).double()
