"""Without conflict: full sharing, trained by the run's recipe, gradients combined by UPGrad."""

from mtl_framework import GradientWeighting, Step, Strategy, TaskNetworks, hookimpl


class WithoutConflict(Strategy):
    """One weight a unit; what a step does to it harms no task (UPGrad, of TorchJD)."""

    def build(self, backbone, suite):
        """Whatever section `training` says of optimiser, schedule and averages holds here, too."""
        self.network = TaskNetworks(backbone, suite.tasks, weights_per_unit=1)
        self.network.weighting = GradientWeighting("upgrad", {}, tasks=len(suite))
        self.optimizer = self.make_optimizer(self.network, "adamw", 1e-3, weight_decay=0.01)
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
    return {"without_conflict": WithoutConflict}
