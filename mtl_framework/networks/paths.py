"""What a step needs of networks whose tasks take paths over weights is declared here."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..data.batches import Batch
from ..routing.micro_batches import MicroBatch
from ..routing.plan import RoutePlan
from .features import TaskRows
from .model import MultiTaskModel
from .planning import StepPlan
from .running import ModelRunner


class PathNetworks(MultiTaskModel):
    """Path networks plan a step under several assignments and run it part by part.

    :class:`TaskNetworks` is the one such class; gradients by task are computed from it without
    knowing it.
    """

    assignment: Tensor
    mixers: nn.ModuleDict
    _runner: ModelRunner

    @property
    def device(self) -> torch.device:
        """Return the device of the weights."""
        return next(self.parameters()).device

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "PathNetworks":
        """Move everything but the assignment.

        Planning reads it, on the CPU, and would wait for a device to hand it over at every step.
        """
        assignment = self.assignment
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.assignment = assignment
        return self

    @abstractmethod
    def plan(self, batch: Batch, assignments: Tensor, apart: bool = False) -> StepPlan:
        """Plan how a step under assignments (samples, units, tasks) is run.

        Args:
            batch: the batch of the step.
            assignments: weights by sample, unit and task.
            apart: whether no two columns (sample, task) share rows.
        """

    @abstractmethod
    def _run(self, batch: Batch, micro_batch: MicroBatch, plan: RoutePlan) -> Tensor:
        """Compute the losses (samples, tasks) of a micro-batch."""

    def _keep(self, task: int, rows: TaskRows, losses: Tensor) -> None:
        """Take note of the losses of a task's labelled rows; here nothing is kept."""

    @abstractmethod
    def bank_parameters(self, unit: int, weight: int) -> list[nn.Parameter]:
        """Return the parameters of one weight of a unit."""

    @abstractmethod
    def head_parameters(self, task: int) -> list[nn.Parameter]:
        """Return the parameters of a task's head."""

    @abstractmethod
    def shared_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that every task uses."""
