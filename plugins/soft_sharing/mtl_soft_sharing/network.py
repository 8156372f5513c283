"""Every task has a column of weights; columns are mixed behind some units."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from mtl_framework import (
    Backbone,
    ColumnMixer,
    ColumnNetwork,
    Features,
    ParameterCounts,
    TaskNetworks,
)
from mtl_framework.data import Batch, Suite

from .unit import by_column


class ColumnNetworks(TaskNetworks):
    """Every task's output is that of its own column of weights, mixed with the others.

    Where all tasks read one input, it passes each of the T columns once. Tasks with inputs of
    their own need all columns for each of them: T * T passes, of which the host makes one. A
    column's batch norms then meet every task's examples. With ``backbone.normalization="shared"``
    they normalise by averages over all of them when predicting, with ``"task"`` by the task's.

    What the backbone always shares (its stem, unless ``backbone.shared`` says otherwise) is not
    a part of the columns.

    Args:
        backbone: backbone of every column.
        suite: the tasks.
        mixers: by unit, the module that mixes the columns behind it. Each has a parameter
            ``weight`` of one of the kinds that :func:`by_column` knows.
        all_read_first: whether every task's output is that of the first column, and not of its own.

    Raises:
        MtlError: if the columns of this backbone cannot be mixed there.
    """

    def __init__(
        self,
        backbone: Backbone,
        suite: Suite,
        mixers: Mapping[int, nn.Module],
        all_read_first: bool = False,
    ) -> None:
        columns = len(suite)
        super().__init__(backbone, suite.tasks, columns, mixers=mixers)
        self.all_read_first = all_read_first
        # each task's own column is run on a common input; else all columns are, for every task
        self.each_its_own = suite.common_input and not all_read_first
        own = torch.arange(columns)
        self.assignment.copy_(own)
        self.columns = self.assignment[None]
        if not self.each_its_own:
            self.columns = own[:, None, None].expand(-1, *self.assignment.shape).clone()

    @property
    def passes(self) -> int:
        """Return how many passes of one task's batch through one column a step takes."""
        return len(self.tasks) if self.each_its_own else len(self.tasks) ** 2

    def own_weight(self) -> Float[Tensor, ""]:
        """Return the mean weight of a column for itself."""
        weights = [mixer.get_parameter("weight").detach() for mixer in self.mixers.values()]
        return torch.stack([by_column(weight).diagonal().mean() for weight in weights]).mean()

    def column_of(self, task: int) -> int:
        """Say where the results of the column that a task reads stand among those of ``columns``.

        Where each task's own column is run on a common input, they are the only ones.
        """
        return 0 if self.each_its_own or self.all_read_first else task

    def step(
        self, batch: Batch, weights: Float[Tensor, " tasks"] | None = None
    ) -> Float[Tensor, " tasks"]:
        """Add the gradients of the weighted mean of all tasks' losses, and return the losses."""
        tasks = len(self.tasks)
        rows = torch.tensor([self.column_of(task) for task in range(tasks)])
        chosen = torch.zeros(len(self.columns), tasks, dtype=torch.float64)
        chosen[rows, torch.arange(tasks)] = 1.0 if weights is None else weights.double()
        losses = self.accumulate_gradients(self._apart(batch), self.columns, chosen / tasks)
        return losses.gather(0, rows[None].to(losses.device, non_blocking=True))[0]

    def parts_of_tasks(self) -> Mapping[nn.Parameter, int]:
        """Return what columns go on with, a part a column; and what each has behind mixtures.

        Behind the last mixture nobody but the column's own task reads it, its units there neither.
        """
        mixed = {p: len(self.tasks) for p in self.mixers.parameters()}
        last = max((int(unit) for unit in self.mixers), default=-1)
        for unit in range(last + 1, len(self.backbone.units)):
            for column in range(len(self.tasks)):
                mixed.update(dict.fromkeys(self.bank_parameters(unit, column), 1))
        for mixer in self.mixers.values():
            if isinstance(mixer, ColumnMixer):
                for module in mixer.behind:
                    mixed.update(dict.fromkeys(module.parameters(), 1))
        return mixed

    def features(self, task: int, inputs: Shaped[Tensor, "rows *dims"]) -> Features:
        """Compute what a task's head reads: the end of its column, mixed on the way."""
        features = self.features_under(self.columns, task, inputs, self.each_its_own)
        own = self.column_of(task)
        if isinstance(features, Tensor):
            return features[:, own]
        return tuple(feature_map[:, own] for feature_map in features)

    @torch.no_grad()
    def update_statistics(self, batch: Batch) -> None:
        """Let the running statistics of all columns see a batch."""
        self.losses(self._apart(batch), self.columns)

    def _apart(self, batch: Batch) -> Batch:
        """Return a batch whose tasks read common inputs, each for itself if all read one column."""
        return replace(batch, common_input=batch.common_input and self.each_its_own)

    def extract(self, task: int) -> nn.Module:
        """Return one task's network: all columns up to the last mixture, the one it reads after."""
        tasks, units = range(len(self.tasks)), len(self.backbone.units)
        readers = tasks if self.each_its_own else [task] * len(tasks)  # whose averages each has
        columns = [self.extract_path(readers[column], [column] * units) for column in tasks]
        mixers = {int(unit): mixer for unit, mixer in self.mixers.items()}
        kept = 0 if self.all_read_first else task
        return ColumnNetwork(self.backbone, columns, mixers, kept, readers).cpu().eval()

    def sharing(self) -> None:
        """Say that no unit is shared as a whole."""
        return None

    def parameter_counts(self) -> ParameterCounts:
        """Count all parameters that some task reads; they are needed afterwards, too.

        If all read the first column, the last mixture makes the other columns for nobody, and
        nobody reads their units behind it.
        """
        count = sum(p.numel() for p in self.parameters())
        if self.all_read_first:
            last = max(map(int, self.mixers))
            behind = [bank for bank in self.banks() if bank.unit > last]
            apart = [self.mixers[str(last)], *behind]  # columns have equal parts of these
            of_columns = sum(p.numel() for module in apart for p in module.parameters())
            count -= of_columns - of_columns // len(self.tasks)
        return ParameterCounts(count, count)
