"""The sequential order of a step, which defines what becomes of running statistics."""

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

Normalization = Literal["shared", "task", "pooled"]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class StepOrder:
    """The sequential order that defines running statistics, over the full assignment of a step.

    Normalisation layers behave as if the columns had been run one after the other, sample-major,
    then by task. ``visits`` tells for every column which visit of its weight it is, and how many
    visits that weight gets. The rules by normalisation mode:

    - ``shared``: every column that uses the weight is one visit;
    - ``task``: the same, counted for each task apart;
    - ``pooled``: every sample that uses the weight is one visit.

    Args:
        assignments: (S, U, T) weights by sample, unit and task.
        mode: the normalisation mode.
        present: the tasks that have examples in this step; default: all. The columns of others
            are not run and count as no visit.
    """

    def __init__(
        self, assignments: Ints, mode: Normalization, present: Sequence[int] | None = None
    ) -> None:
        self.assignments = assignments
        shape: tuple[int, ...] = assignments.shape
        self.num_samples, self.num_units, self.num_tasks = shape
        self.mode = mode
        self.present = tuple(range(self.num_tasks)) if present is None else tuple(present)

    @property
    def num_slots(self) -> int:
        """Running averages that a weight keeps."""
        return self.num_tasks if self.mode == "task" else 1

    @cached_property
    def first_sample(self) -> "StepOrder":
        """The order of a step with the first sample only."""
        return StepOrder(self.assignments[:1], self.mode, self.present)

    def visits(self, unit: int | None) -> tuple[Ints, Ints]:
        """Visit number (S * T,) of every column and the number of visits (S * T,) of its weight.

        ``unit`` is ``None`` for layers outside the banks, which have one weight for all columns.
        Columns of absent tasks have zeros.
        """
        row = self.num_units if unit is None else unit
        number, total = self._visits
        return number[row], total[row]

    @cached_property
    def _visits(self) -> tuple[Ints, Ints]:
        """Both for all units (U + 1, S * T), that of layers outside the banks last."""
        samples, units, tasks = self.assignments.shape
        weight = np.zeros((units + 1, samples, tasks), dtype=np.int64)
        weight[:units] = self.assignments.transpose(1, 0, 2)
        present = np.asarray(self.present, dtype=np.int64)
        number, total = np.zeros_like(weight), np.zeros_like(weight)
        if not len(present):
            pass
        elif self.mode == "pooled":
            for row, used in enumerate(weight[:, :, present]):
                for k in np.unique(used):
                    by_sample = (used == k).any(axis=1)
                    here = (weight[row] == k) & np.isin(np.arange(tasks), present)
                    number[row][here] = np.broadcast_to(
                        (np.cumsum(by_sample) - 1)[:, None], here.shape
                    )[here]
                    total[row][here] = by_sample.sum()
        else:
            if self.mode == "task":
                weight = weight * tasks + np.arange(tasks)
            found = _ranks(weight[:, :, present].reshape(units + 1, -1))
            for values, ranks in zip((number, total), found, strict=True):
                values[:, :, present] = ranks.reshape(units + 1, samples, -1)
        return number.reshape(units + 1, -1), total.reshape(units + 1, -1)


def _ranks(values: Ints) -> tuple[Ints, Ints]:
    """How many equal values stand before each entry of its row, and how many there are in all."""
    order = values.argsort(axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, 1)
    columns = np.arange(values.shape[1])
    first = np.ones(values.shape, dtype=bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=first[:, 1:])
    last = np.ones(values.shape, dtype=bool)
    last[:, :-1] = first[:, 1:]
    start = np.maximum.accumulate(np.where(first, columns, 0), axis=1)
    stop = np.where(last, columns + 1, values.shape[1])
    stop = np.minimum.accumulate(stop[:, ::-1], axis=1)[:, ::-1]
    before, total = np.empty_like(values), np.empty_like(values)
    np.put_along_axis(before, order, columns - start, 1)
    np.put_along_axis(total, order, stop - start, 1)
    return before, total


def visit_shares(number: Ints, total: Ints, momentum: float | None) -> Floats:
    """What each visit adds to a running average.

    After n visits with statistics x_0 .. x_{n-1} a running average r has become
    (1 - m)^n r + sum_j m (1 - m)^(n - 1 - j) x_j. Without a momentum each visit counts one.
    """
    if momentum is None:
        return np.ones(len(number))
    power = (total - 1 - number).astype(np.float64)
    shares: Floats = momentum * (1 - momentum) ** power
    return shares
