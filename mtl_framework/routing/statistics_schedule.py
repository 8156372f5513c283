"""The sequential order of a step defines what becomes of running statistics."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

Normalization = Literal["shared", "task", "pooled"]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Visits:
    """Visits say which columns move the running averages of their weight, and in which order.

    Args:
        before: (columns,) visits of the same weight by the columns before this one.
        counted: (columns,) whether the column is a visit itself.
        total: (columns,) visits of the column's weight by all columns.
    """

    before: Ints
    counted: Bools
    total: Ints

    def of(self, columns: Ints) -> "Visits":
        """Return the visits of some of the columns."""
        return Visits(self.before[columns], self.counted[columns], self.total[columns])


class StepOrder:
    """A step's sequential order over its full assignment defines its running statistics.

    Normalisation layers behave as if the columns had been run one after the other, sample-major,
    then by task. :meth:`visits` tells for every column how often its weight was visited before.
    The rules by normalisation mode:

    - ``shared``: every column that uses the weight is one visit;
    - ``task``: the same, counted for each task apart;
    - ``pooled``: every sample that uses the weight is one visit.

    Where all tasks read one input, columns that agree on all units so far have the same rows. Those
    pass a layer once, and count once: only the first such column is a visit (in mode ``task`` the
    first one of each task).

    Worked example: two samples, two tasks, one unit, whose weights are ``[[0, 1], [0, 0]]``, mode
    ``shared``. The columns in their order are (sample 0, task 0), (0, 1), (1, 0), (1, 1) and use
    the weights 0, 1, 0, 0.

    =================  ================  ==================  ======
    .                  before            counted             total
    =================  ================  ==================  ======
    own inputs         0, 0, 1, 2        all                 3, 1, 3, 3
    a common input     0, 0, 1, 1        first and second    1, 1, 1, 1
    =================  ================  ==================  ======

    Args:
        assignments: (S, U, T) weights by sample, unit and task.
        mode: the normalisation mode.
        present: positions of the tasks that have examples in this step; default: all. The columns
            of the others are not run and count as no visit.
        common_input: whether all tasks read the same rows.
        mixed: units behind which every column has rows of its own.
    """

    def __init__(
        self,
        assignments: Ints,
        mode: Normalization,
        present: Sequence[int] | None = None,
        common_input: bool = False,
        mixed: Collection[int] = (),
    ) -> None:
        self.assignments = assignments
        shape: tuple[int, ...] = assignments.shape
        self.num_samples, self.num_units, self.num_tasks = shape
        self.mode = mode
        self.present = tuple(range(self.num_tasks)) if present is None else tuple(present)
        self.common_input = common_input
        self.mixed = frozenset(mixed)
        self._known: dict[tuple[int | None, int | None], Visits] = {}

    @property
    def num_slots(self) -> int:
        """Return the number of running averages that a weight keeps."""
        return self.num_tasks if self.mode == "task" else 1

    @property
    def counts_rows(self) -> bool:
        """Say whether rows that several columns have in common are one visit.

        A pooled statistic is of all rows of a sample, which is one visit in any case.
        """
        return self.common_input and self.mode != "pooled"

    @cached_property
    def first_sample(self) -> "StepOrder":
        """Return the order of a step that has the first sample only."""
        return StepOrder(self.assignments[:1], self.mode, self.present)

    def visits(self, unit: int | None, level: int) -> Visits:
        """Return all columns' (S * T,) visits of a layer; those of absent tasks do not count.

        Args:
            unit: the unit whose weights see the rows; ``None``: a layer outside the banks, which
                has one weight for all columns.
            level: how many units the rows have passed, counting the unit itself.
        """
        key = unit, level if self.counts_rows else None
        if key not in self._known:
            self._known[key] = self._visits(unit, level)
        return self._known[key]

    def _visits(self, unit: int | None, level: int) -> Visits:
        weight = np.zeros((self.num_samples, self.num_tasks), dtype=np.int64)
        if unit is not None:
            weight[:] = self.assignments[:, unit]
        if self.mode == "task":
            weight = weight * self.num_tasks + np.arange(self.num_tasks)
        here = np.zeros(weight.shape, dtype=bool)
        here[:, self.present] = True
        if self.mode == "pooled":
            return self._visits_by_sample(weight, here)
        counted = here.reshape(-1)
        if self.counts_rows:
            code = self._paths[level] * (int(weight.max()) + 1) + weight.reshape(-1)
            code = np.where(counted, code, -1)
            first = np.zeros(len(code), dtype=bool)
            first[np.unique(code, return_index=True)[1]] = True
            counted = counted & first
        before, total = _counts(weight.reshape(-1), counted)
        return Visits(before, counted, total)

    def _visits_by_sample(self, weight: Ints, here: Bools) -> Visits:
        """Count visits by sample: one for each sample that uses a weight, whichever columns do.

        In the example of :class:`StepOrder` both samples use weight 0, and the first one weight 1:
        ``before`` is 0, 0, 1, 1 and ``total`` 2, 1, 2, 2.
        """
        before, total = np.zeros_like(weight), np.zeros_like(weight)
        for k in np.unique(weight[here]):
            uses = (weight == k) & here
            by_sample = uses.any(axis=1)
            before[uses] = np.broadcast_to((by_sample.cumsum() - 1)[:, None], uses.shape)[uses]
            total[uses] = by_sample.sum()
        return Visits(before.reshape(-1), here.reshape(-1), total.reshape(-1))

    @cached_property
    def _paths(self) -> list[Ints]:
        """By level, a number (S * T,) for every column; equal ones have the same rows there."""
        code = np.zeros(self.num_samples * self.num_tasks, dtype=np.int64)
        paths = [code]
        for unit in range(self.num_units):
            weight = self.assignments[:, unit].reshape(-1)
            code = np.unique(code * (int(weight.max()) + 1) + weight, return_inverse=True)[1]
            if unit in self.mixed:
                code = np.arange(len(code))
            paths.append(code)
        return paths


def _counts(values: Ints, counted: Bools) -> tuple[Ints, Ints]:
    """Count the counted entries that equal each entry: among those before it, and among all.

    Worked example: values 0, 1, 0, 0, all counted. Sorted they are the entries 0, 2, 3, 1, in two
    runs that start at 0 and 3. ``so_far`` is 0, 1, 2, 3; less what it is at the start of the run,
    0, 1, 2, 0. Put back in place, ``before`` is 0, 0, 1, 2 and ``total`` 3, 1, 3, 3.
    """
    order = values.argsort(kind="stable")
    ordered, marks = values[order], counted[order]
    new = np.ones(len(values), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    starts = np.flatnonzero(new)
    run = np.cumsum(new) - 1  # which run of equal values an entry is in
    so_far: Ints = np.cumsum(marks) - marks  # counted entries of all values before it
    before, total = np.empty_like(values), np.empty_like(values)
    before[order] = so_far - so_far[starts][run]
    total[order] = np.add.reduceat(marks.astype(np.int64), starts)[run]
    return before, total


def visit_shares(number: Ints, total: Ints, momentum: float | None) -> Floats:
    """Compute the share by which each visit enters a running average.

    After n visits with statistics x_0 .. x_{n-1} a running average r has become
    (1 - m)^n r + sum_j m (1 - m)^(n - 1 - j) x_j. Without a momentum each visit counts one. With
    m = 0.1 the shares of three visits are 0.081, 0.09 and 0.1, and 0.729 is left of r.
    """
    if momentum is None:
        return np.ones(len(number))
    power = (total - 1 - number).astype(np.float64)
    shares: Floats = momentum * (1 - momentum) ** power
    return shares
