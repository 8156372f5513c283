"""Networks whose strategies ask how hard single examples are keep every row's loss."""

from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ..data.batches import Batch
from .features import Features
from .task_networks import TaskNetworks


class RowLossNetworks(TaskNetworks):
    """These are task networks that keep every row's loss of the last step.

    It is a base class beside others of task networks, too: ``class Mine(RowLossNetworks, Other)``.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rows: dict[int, Tensor] = {}

    def row_losses(
        self, task: int, features: Features, targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Return the loss of every row, and keep it for :meth:`last_rows`."""
        losses = super().row_losses(task, features, targets)
        self._rows[task] = losses.detach()
        return losses

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
        for task, rows in self._rows.items():
            mask = batch.select(task).mask
            own = torch.arange(examples) if mask is None else mask.nonzero().flatten()
            losses[task, own.to(losses.device)] = rows.view(len(own), -1).mean(1).to(losses)
        self._rows = {}
        return losses
