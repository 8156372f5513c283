"""Even and odd: every second task shares all its units."""

import torch

from mtl_framework import Step, Strategy, TaskNetworks, hookimpl


class EvenOdd(Strategy):
    """Two weights for every unit: one for tasks 0, 2, 4, ..., one for tasks 1, 3, 5, ..."""

    def build(self, backbone, suite):
        """Networks in which each task uses the weights that the assignment names."""
        self.network = TaskNetworks(backbone, suite.tasks, weights_per_unit=2)
        self.network.assignment.copy_(torch.arange(len(suite)) % 2)  # (units, tasks)
        self.optimizer = torch.optim.Adam(self.network.parameters())
        return self.network

    def optimize(self, run):
        """A batch of every task, a step."""
        while True:
            self.network.train()
            self.optimizer.zero_grad()
            assignments = self.network.assignment.cpu()[None]  # (samples, units, tasks)
            losses = self.network.accumulate_gradients(run.next_batch(), assignments)
            self.optimizer.step()
            yield Step(losses)


@hookimpl
def mtl_strategies():
    """Strategies of this plugin by name."""
    return {"even_odd": EvenOdd}
