"""By pseudo-task augmentation one model trains several decoders a task.

Meyerson and Miikkulainen, "Pseudo-task Augmentation: From Deep Multitask Learning to Intratask
Sharing -- and Back", ICML 2018, arXiv 1803.04062. There is no published code; where the paper is
silent an option names the possibilities.
"""

from collections.abc import Generator, Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from mtl_framework import (
    Backbone,
    MtlError,
    Step,
    Strategy,
    StrategyConfig,
    TrainingRun,
    all_reduce_mean,
    renumber,
)
from mtl_framework.data import Batch, Suite, batches_per_epoch

from .config import PtaConfig
from .course import Course, DueUpdate
from .network import PseudoTaskNetworks
from .presets import PRESETS

_OPTIONS: dict[str, dict[str, float]] = {"adam": {}, "rmsprop": {"alpha": 0.99, "momentum": 0.0}}


class PseudoTaskAugmentation(Strategy):
    """Each task trains several decoders, of which validation keeps one; networks share in any way.

    By algorithm 1, after M gradient steps on all pseudo-tasks each decoder is judged on the task's
    validation examples, with dropout off, and the decoders are updated: the greedy copy (G) first,
    noise (P, H) then on all that were not best. All decoders that tie for the least cost are best;
    the first of them is chosen. Decoders are also judged, but not updated, wherever the run
    evaluates its networks.

    With one decoder nothing is judged, and no validation examples are needed.
    """

    Config: ClassVar[type[StrategyConfig]] = PtaConfig
    config: PtaConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    network: PseudoTaskNetworks

    def build(self, backbone: Backbone, suite: Suite) -> PseudoTaskNetworks:
        """Make networks for the given assignment, D decoders a task, and one optimiser.

        Raises:
            MtlError: if there is something to choose but no validation examples; if backbone or
                assignment do not fit.
        """
        config = self.config
        if config.decoders > 1:
            _check_validation(suite)
        tracked = suite.index(config.course_of) if config.course_of is not None else 0
        assignment = renumber(self._groups(backbone, suite))
        self.network = PseudoTaskNetworks(
            backbone,
            suite.tasks,
            (assignment.amax(1) + 1).tolist(),
            decoders=config.decoders,
            dropout=config.dropout,
            dropping=config.dropout > 0 or config.has("H"),
            independent=config.has("D"),
        )
        self.network.initialize(config.initialization_of(backbone))
        self.network.assignment.copy_(assignment)
        self.network.prediction = config.prediction
        if config.has("F"):
            for task in range(len(suite)):
                self.network.decoders(task).freeze_all_but_first()
        self.optimizer = self.make_optimizer(
            self.network,
            config.optimizer,
            config.learning_rate,
            weight_decay=config.weight_decay,
            **_OPTIONS[config.optimizer],
        )
        self.generator = torch.Generator().manual_seed(self.seed)
        self.course = Course(tracked)
        self.due = DueUpdate()
        return self.network

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        """Run algorithm 1; a meta-iteration ends with every M-th step.

        Decoders are updated when the next one begins, so that an evaluation in between, and the end
        of the run, find them as they were judged.
        """
        several = self.config.decoders > 1
        every = self._steps_between(run)
        if several and not self.course:
            self._record(0, torch.full((len(run.suite), self.config.decoders), torch.inf))
        while True:
            self.update_if_due()
            losses = self.weight_step(run.next_batch())
            done = run.iteration + 1
            updates = done % every == 0
            evaluates = done % run.eval_every == 0 or done == run.iterations
            metrics: dict[str, float] = {}
            if several and (updates or evaluates):
                costs, ensemble = self.costs(run)
                self.choose(costs)
                metrics["validation_cost"] = float(costs.amin(1).mean())
                metrics["ensemble_cost"] = float(ensemble.mean())
                if updates:
                    self._record(done, costs)
                    self.due.costs = costs
                metrics["dropout_rate"] = float(self._rates().mean())
            yield Step(losses, metrics)

    def update_if_due(self) -> None:
        """Do DecUpdate by the costs at the end of the last meta-iteration, once."""
        costs = self.due.take()
        if costs is not None:
            self.update_decoders(costs)

    def weight_step(self, batch: Batch) -> Float[Tensor, "1 tasks"]:
        """Move the model and the decoders that are not frozen along the gradient of equation 4."""
        network = self.network
        network.train()
        self.optimizer.zero_grad()
        losses = network.accumulate_gradients(batch, network.assignment[None])
        self.optimizer.step()
        return losses

    def costs(
        self, run: TrainingRun
    ) -> tuple[Float[Tensor, "tasks decoders"], Float[Tensor, " tasks"]]:
        """Return each decoder's validation cost, and that of each task's ensemble (equation 6)."""

        def outputs(
            task: int, inputs: Float[Tensor, "rows *dims"]
        ) -> Float[Tensor, "candidates rows *outputs"]:
            scores = self.network.decoder_scores(task, self.network.features(task, inputs))
            return torch.cat([scores, scores.mean(0, keepdim=True)])

        validated = run.validate(outputs)
        judged = [each.errors if self.config.cost == "error" else each.losses for each in validated]
        costs = all_reduce_mean(torch.stack(judged).float().to(run.device)).cpu()
        return costs[:, :-1], costs[:, -1]

    def choose(self, costs: Float[Tensor, "tasks decoders"]) -> None:
        """Let every task predict with the decoder of the least cost (equation 5)."""
        for task, number in enumerate(costs.argmin(1).tolist()):
            self.network.decoders(task).chosen.fill_(number)

    def update_decoders(self, costs: Float[Tensor, "tasks decoders"]) -> None:
        """Do DecUpdate of algorithm 1 for all tasks, after :meth:`choose`."""
        config = self.config
        worse = costs > costs.amin(1, keepdim=True)
        for task in range(len(costs)):
            decoders = self.network.decoders(task)
            copied = perturbed = torch.zeros_like(worse[task])
            if config.has("G"):
                copied = decoders.copy_chosen()
            if config.has("P"):
                deviation = config.deviation(config.perturbation)
                perturbed = worse[task]
                decoders.perturb(perturbed, deviation, self.generator)
            if config.has("H"):
                deviation = config.deviation(config.rate_perturbation)
                decoders.perturb_rates(worse[task], deviation, config.dropout_range, self.generator)
            self._treat_moments(task, copied, perturbed)
            changed = (copied | perturbed).nonzero().flatten().tolist()
            self.optimizer.restart_average(
                parameter
                for number in changed
                for parameter in decoders.layers[number].parameters()
            )

    def _treat_moments(
        self, task: int, copied: Bool[Tensor, " decoders"], perturbed: Bool[Tensor, " decoders"]
    ) -> None:
        """Do with the optimiser's state of changed decoders what ``moments`` says."""
        if self.config.moments == "keep":
            return
        decoders = self.network.decoders(task)
        source = decoders.layers[int(decoders.chosen)]
        copying = self.config.moments == "copy"
        for number in (copied if copying else copied | perturbed).nonzero().flatten().tolist():
            layer = decoders.layers[number]
            for target, origin in zip(layer.parameters(), source.parameters(), strict=True):
                if not target.requires_grad:
                    continue
                self.optimizer.state.pop(target, None)
                if copying and origin in self.optimizer.state:
                    self.optimizer.state[target] = {
                        name: value.clone() if isinstance(value, Tensor) else value
                        for name, value in self.optimizer.state[origin].items()
                    }

    def _groups(self, backbone: Backbone, suite: Suite) -> Int64[Tensor, "units tasks"]:
        sharing, units = self.config.sharing, [unit.name for unit in backbone.units]
        if sharing == "full":
            return torch.zeros(len(units), len(suite), dtype=torch.int64)
        if sharing == "no":
            return torch.arange(len(suite)).repeat(len(units), 1)
        return sharing.groups(units, suite.task_names)

    def _steps_between(self, run: TrainingRun) -> int:
        """Return M, the number of steps between two updates of the decoders."""
        if self.config.meta_iteration != "epoch":
            return self.config.meta_iteration
        return batches_per_epoch(run.suite, run.batch_size)

    def _rates(self) -> Float[Tensor, "tasks decoders"]:
        tasks = range(len(self.network.tasks))
        return torch.stack([self.network.decoders(task).rates for task in tasks]).cpu()

    def _record(self, iteration: int, costs: Float[Tensor, "tasks decoders"]) -> None:
        """Record where the decoders are before an update."""
        layers = self.network.decoders(self.course.task).layers
        weights = [nn.utils.parameters_to_vector(layer.parameters()) for layer in layers]
        self.course.record(iteration, costs, self._rates(), torch.stack(weights))


def _check_validation(suite: Suite) -> None:
    for task in suite.tasks:
        if task.validation is None:
            raise MtlError(
                f"strategy 'pta' chooses decoders by validation examples, but task {task.name!r} "
                f"of suite {suite.name!r} has none; give the suite a validation split, or set "
                "decoders=1"
            )
