"""Networks whose strategies ask how hard single examples are keep every row's loss."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..data.batches import Batch
from .features import TaskRows
from .planning import StepPlan
from .task_networks import TaskNetworks


class RowLossNetworks(TaskNetworks):
    """These are task networks that keep every row's loss of the last step.

    It is a base class beside others of task networks, too: ``class Mine(RowLossNetworks, Other)``.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rows: dict[int, list[Tensor]] = {}

    def plan(
        self, batch: Batch, assignments: Int[Tensor, "samples units tasks"], apart: bool = False
    ) -> StepPlan:
        """Plan a step, with which the losses of the step before are forgotten."""
        self._rows = {}
        return super().plan(batch, assignments, apart)

    def _keep(self, task: int, rows: TaskRows, losses: Float[Tensor, " rows"]) -> None:
        """Keep the losses (examples, samples) of one part of a step for :meth:`last_rows`."""
        of_samples = rows.by_example(losses.detach()).index_select(1, rows.which)
        self._rows.setdefault(task, []).append(of_samples)

    def last_rows(self, batch: Batch) -> Float[Tensor, "tasks examples"]:
        """Return the losses of all tasks on the examples of the last step, and forget them.

        Where a step had several assignments, a loss is the mean over them.

        Args:
            batch: the batch of that step, whose tasks have one input.

        Returns:
            NaN where an example has no label of a task.
        """
        examples = len(batch.targets[0])
        losses = torch.full((len(self.tasks), examples), torch.nan, device=self.device)
        for task, parts in self._rows.items():
            mask = batch.select(task).mask
            own = torch.arange(examples) if mask is None else mask.nonzero().flatten()
            losses[task, own.to(losses.device)] = torch.cat(parts, 1).mean(1).to(losses)
        self._rows = {}
        return losses
