"""By roaming, tasks wander over the weights at random, without any search, and then settle.

Every weight is trained by changing tasks in changing combinations, which regularises. Pascal et al.
("Maximum Roaming Multi-Task Learning", AAAI 2021) report that this matters more than which
partition comes out; here it is what learned sharing would be if its search never moved. The
assignment that is kept was drawn at random before training, so whatever roaming gains, no search
has found it.
"""

from collections.abc import Generator
from typing import ClassVar, Literal, Self

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from mtl_framework import (
    Backbone,
    InitialWeights,
    SearchDistribution,
    SharedStartConfig,
    Step,
    Strategy,
    StrategyConfig,
    TaskNetworks,
    TrainingRun,
)
from mtl_framework.data import Batch, Suite

from .published_code import scale_by_usage, zero_missing_gradients


class RoamingConfig(InitialWeights, SharedStartConfig):
    """These are options of :class:`Roaming`."""

    weights_per_unit: int | None = Field(
        None, ge=1, description="number K of alternative weights of every unit; default: one a task"
    )
    weight_samples: int = Field(
        1,
        ge=1,
        description="number of assignments whose gradients a step averages while tasks roam",
    )
    settle: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of the run, at its end, in which only the assignment that is kept is "
        "trained; 0: tasks roam to the end; default: half of the run, or half of what a shared "
        "start leaves, if that start is half of the run or longer",
    )
    learning_rate: float = Field(
        1e-3, gt=0, description="Adam's learning rate, of weights and heads"
    )
    epsilon: float = Field(1e-8, gt=0, description="Adam's epsilon")
    gradient_scaling: Literal["paper", "usage"] = Field(
        "paper", description="how the gradient of a weight is scaled, as in lws"
    )
    unused_weights: Literal["skip", "momentum"] = Field(
        "skip", description="what happens to weights that no task of a step uses, as in lws"
    )

    @property
    def settles(self) -> float:
        """Return the share of the run in which the kept assignment alone is trained."""
        if self.settle is not None:
            return self.settle
        return 0.5 if self.shared_start < 0.5 else (1 - self.shared_start) / 2

    @model_validator(mode="after")
    def _check_roams(self) -> Self:
        if self.shared_start and self.shared_start + self.settles >= 1:
            raise ValueError(
                f"should have settle below {1 - self.shared_start:g}, which is what shared_start = "
                f"{self.shared_start:g} leaves of the run, as tasks roam in between; found "
                f"{self.settles:g}"
            )
        return self


class Roaming(Strategy):
    """Assignments are sampled uniformly all the time; a random one, drawn beforehand, is kept.

    A step costs what one of full sharing costs for every different path, with ``weight_samples: 1``
    at most one path a task. ``network.assignment`` is the kept assignment throughout, but for a
    ``shared_start``.
    """

    Config: ClassVar[type[StrategyConfig]] = RoamingConfig
    config: RoamingConfig
    network: TaskNetworks

    def build(self, backbone: Backbone, suite: Suite) -> TaskNetworks:
        """Make banks of K weights for every unit, and draw the assignment that will be kept."""
        weights = self.config.weights_per_unit or len(suite)
        self.generator = torch.Generator().manual_seed(self.seed)
        self._uniform = SearchDistribution.uniform([weights] * len(backbone.units), len(suite))
        self.network = TaskNetworks(backbone, suite.tasks, weights)
        self.network.initialize(self.config.initialization_of(backbone))
        self._kept = self._uniform.sample(1, self.generator)[0]
        self.shared_start = self.config.make_shared_start()
        if self.shared_start is None:  # otherwise all tasks use weight 0 for now
            self.network.assignment.copy_(self._kept)
        self.optimizer = self.make_optimizer(
            self.network, "adam", self.config.learning_rate, eps=self.config.epsilon
        )
        return self.network

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        """Roam, then settle; each iteration draws a batch and does a step."""
        while True:
            if self._shares(run):
                yield Step(self.weight_step(run.next_batch(), settled=True))
                continue
            settled = run.iteration >= (1 - self.config.settles) * run.iterations
            yield Step(self.weight_step(run.next_batch(), settled))

    def length_options(self) -> list[str]:
        """Name the share of the run after which the tasks settle."""
        shares = {"settle": self.config.settles, "shared_start": self.config.shared_start}
        return [f"strategy.{name}" for name, share in shares.items() if share]

    def _shares(self, run: TrainingRun) -> bool:
        start = self.shared_start
        return start is not None and start.is_on(run, self.network, self.optimizer, self._kept)

    def weight_step(self, batch: Batch, settled: bool) -> Float[Tensor, "samples tasks"]:
        """Move the weights along the gradient of the mean loss over random assignments.

        Args:
            batch: examples of every task.
            settled: whether to take the assignment in use instead: the kept one, or, at first, the
                one in which everything is shared.
        """
        self.network.train()
        if settled:
            assignments = self.network.assignment[None]
        else:
            assignments = self._uniform.sample(self.config.weight_samples, self.generator)
        self.optimizer.zero_grad()
        losses = self.network.accumulate_gradients(batch, assignments)
        if self.config.gradient_scaling == "usage" and self.optimizer.moves_next:
            scale_by_usage(self.network, self._uniform, assignments[0] if settled else None)
        if self.config.unused_weights == "momentum":
            zero_missing_gradients(self.network, self.optimizer.inner)
        self.optimizer.step()
        return losses
