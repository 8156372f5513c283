"""No conflict: full sharing whose common gradient worsens no task, by TorchJD."""

from collections.abc import Generator
from typing import Any

import torch
from pydantic import Field
from torchjd.aggregation import UPGrad
from torchjd.autojac import backward, jac_to_grad

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


class NoConflictConfig(StrategyConfig):
    """These are the options of :class:`NoConflict`."""

    learning_rate: float = Field(1e-3, gt=0, description="learning rate of Adam")


class NoConflict(Strategy):
    """All tasks share every unit; conflicts between their gradients are projected away."""

    Config = NoConflictConfig
    config: NoConflictConfig
    network: TaskNetworks

    def build(self, backbone: Backbone, suite: Suite) -> TaskNetworks:
        """Make networks that share every unit, and an optimiser that knows the run's recipe."""
        self.network = TaskNetworks(backbone, suite.tasks, weights_per_unit=1)
        self.optimizer = self.make_optimizer(self.network, "adam", self.config.learning_rate)
        return self.network

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        """Compute all gradients in one backward pass, and aggregate those of shared weights."""
        network, aggregator = self.network, UPGrad()
        heads = [p for task in range(len(run.suite)) for p in network.head_parameters(task)]
        units = range(len(network.weights_per_unit))
        common = [p for unit in units for p in network.bank_parameters(unit, 0)]
        common += network.shared_parameters()
        assignments = network.assignment.cpu()[None]  # (samples, units, tasks)
        while True:
            network.train()
            self.optimizer.zero_grad()
            losses = network.losses(run.next_batch(), assignments)[0]  # (tasks,)
            backward(losses, inputs=common, retain_graph=True)  # a Jacobian: a row a task
            jac_to_grad(common, aggregator)
            torch.autograd.backward(losses.sum(), inputs=heads)
            self.optimizer.step()
            yield Step(losses.detach())


@hookimpl
def mtl_strategies() -> dict[str, Any]:
    """Contribute the strategy of this plugin by name."""
    return {"no_conflict": NoConflict}
