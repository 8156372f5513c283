"""Random sharing: every task draws a weight for every unit once, and keeps it."""

from collections.abc import Generator

import torch
from pydantic import Field

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


class RandomSharingConfig(StrategyConfig):
    """Options, with their types, bounds and defaults; the command line checks them."""

    weights_per_unit: int = Field(
        2, ge=1, description="number of weights of a unit that tasks choose from"
    )
    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate")


class RandomSharing(Strategy):
    """Every task uses a random weight of every unit, the same one all the time.

    What a learned sharing has to beat: it has as many weights, and nobody chose who uses which.
    """

    Config = RandomSharingConfig
    config: RandomSharingConfig
    network: TaskNetworks

    def build(self, backbone: Backbone, suite: Suite) -> TaskNetworks:
        """Turn the backbone into networks, and draw who uses what."""
        weights = self.config.weights_per_unit
        self.network = TaskNetworks(backbone, suite.tasks, weights)
        generator = torch.Generator().manual_seed(self.seed)
        shape = (len(backbone.units), len(suite))
        self.network.assignment.copy_(torch.randint(weights, shape, generator=generator))
        self.optimizer = torch.optim.Adam(self.network.parameters(), self.config.learning_rate)
        return self.network

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        """The training loop; at every yield the framework evaluates, saves and reports."""
        assignments = self.network.assignment.cpu()[None]  # (samples, units, tasks): one sample
        while True:
            self.network.train()
            self.optimizer.zero_grad()
            losses = self.network.accumulate_gradients(run.next_batch(), assignments)
            self.optimizer.step()
            yield Step(losses)


@hookimpl
def mtl_strategies() -> dict[str, type[Strategy]]:
    """Strategies of this plugin, by the name used on the command line."""
    return {"random_sharing": RandomSharing}
