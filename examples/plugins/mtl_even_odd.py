"""Even and odd: every second task shares all its units."""

from collections.abc import Generator

import torch

from mtl_framework import Backbone, Step, Strategy, TaskNetworks, TrainingRun, hookimpl
from mtl_framework.data import Suite


class EvenOdd(Strategy):
    """Two weights for every unit: one for tasks 0, 2, 4, ..., one for tasks 1, 3, 5, ..."""

    network: TaskNetworks

    def build(self, backbone: Backbone, suite: Suite) -> TaskNetworks:
        """Make networks in which each task uses the weights that the assignment names."""
        network = TaskNetworks(backbone, suite.tasks, weights_per_unit=2)
        network.assignment.copy_(torch.arange(len(suite)) % 2)  # (units, tasks)
        self.optimizer = torch.optim.Adam(network.parameters())
        return network

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        """Do a step of the optimiser for a batch of every task, again and again."""
        while True:
            self.network.train()
            self.optimizer.zero_grad()
            assignments = self.network.assignment.cpu()[None]  # (samples, units, tasks)
            losses = self.network.accumulate_gradients(run.next_batch(), assignments)
            self.optimizer.step()
            yield Step(losses)


@hookimpl
def mtl_strategies() -> dict[str, type[Strategy]]:
    """Contribute the strategy of this plugin by name."""
    return {"even_odd": EvenOdd}
