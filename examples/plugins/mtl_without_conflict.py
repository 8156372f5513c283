"""Without conflict: full sharing, trained by the run's recipe, gradients combined by UPGrad."""

from collections.abc import Generator

import mtl_framework as mtl
from mtl_framework.data import Suite


class WithoutConflict(mtl.Strategy):
    """All tasks share every unit; steps are made to harm no task (UPGrad, of TorchJD)."""

    network: mtl.TaskNetworks

    def build(self, backbone: mtl.Backbone, suite: Suite) -> mtl.TaskNetworks:
        """Make networks, and an optimiser that follows the section `training` of a config."""
        network = mtl.TaskNetworks(backbone, suite.tasks, weights_per_unit=1)
        network.weighting = mtl.GradientWeighting("upgrad", {}, tasks=len(suite))
        self.optimizer = self.make_optimizer(network, "adamw", 1e-3, weight_decay=0.01)
        return network

    def optimize(self, run: mtl.TrainingRun) -> Generator[mtl.Step, None, None]:
        """Do a step of the optimiser for a batch of every task, again and again."""
        while True:
            self.network.train()
            self.optimizer.zero_grad()
            assignments = self.network.assignment.cpu()[None]  # (samples, units, tasks)
            losses = self.network.accumulate_gradients(run.next_batch(), assignments)
            self.optimizer.step()
            yield mtl.Step(losses)


@mtl.hookimpl
def mtl_strategies() -> dict[str, type[mtl.Strategy]]:
    """Contribute the strategy of this plugin by name."""
    return {"without_conflict": WithoutConflict}
