"""Without conflict: full sharing, trained by the run's recipe, gradients combined by UPGrad."""

from collections.abc import Generator

from mtl_framework import (
    Backbone,
    GradientWeighting,
    Step,
    Strategy,
    TaskNetworks,
    TrainingRun,
    hookimpl,
)
from mtl_framework.data import Suite


class WithoutConflict(Strategy):
    """One weight a unit; what a step does to it harms no task (UPGrad, of TorchJD)."""

    network: TaskNetworks

    def build(self, backbone: Backbone, suite: Suite) -> TaskNetworks:
        """Whatever section `training` says of optimiser, schedule and averages holds here, too."""
        network = TaskNetworks(backbone, suite.tasks, weights_per_unit=1)
        network.weighting = GradientWeighting("upgrad", {}, tasks=len(suite))
        self.optimizer = self.make_optimizer(network, "adamw", 1e-3, weight_decay=0.01)
        return network

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        """A batch of every task, a step."""
        while True:
            self.network.train()
            self.optimizer.zero_grad()
            assignments = self.network.assignment.cpu()[None]  # (samples, units, tasks)
            losses = self.network.accumulate_gradients(run.next_batch(), assignments)
            self.optimizer.step()
            yield Step(losses)


@hookimpl
def mtl_strategies() -> dict[str, type[Strategy]]:
    """Strategies of this plugin by name."""
    return {"without_conflict": WithoutConflict}
