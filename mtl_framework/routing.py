"""From assignments to a plan of which rows meet which weights.

Rows of a batch are (example, path) pairs, in one of two orders: example-major, row b * G + g, or
group-major, row g * B + b. A column is one (sample, task) pair; its
path through the backbone depends on its own entries of the assignment only. Columns that agree on
their first units share their rows up to there, so the columns form a trie, whose nodes at one
depth are the *groups* of that level. All planning happens in numpy on the CPU.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int64
from torch import Tensor

Normalization = Literal["shared", "task", "pooled"]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class RouteError(RuntimeError):
    """Rows and plan do not fit: the backbone does something that routing cannot follow."""


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
        self._visits: dict[int | None, tuple[Ints, Ints]] = {}

    def visits(self, unit: int | None) -> tuple[Ints, Ints]:
        """Visit number (S * T,) of every column and the number of visits (S * T,) of its weight.

        ``unit`` is ``None`` for layers outside the banks, which have one weight for all columns.
        """
        if unit not in self._visits:
            self._visits[unit] = self._count(unit)
        return self._visits[unit]

    def _count(self, unit: int | None) -> tuple[Ints, Ints]:
        samples, tasks = self.num_samples, self.num_tasks
        if unit is None:
            weight = np.zeros((samples, tasks), dtype=np.int64)
        else:
            weight = self.assignments[:, unit, :]
        if self.mode == "task":
            weight = weight * tasks + np.arange(tasks)
        number = np.zeros((samples, tasks), dtype=np.int64)
        total = np.zeros((samples, tasks), dtype=np.int64)
        runs = np.isin(np.arange(tasks), self.present)
        for k in np.unique(weight[:, runs]):
            used = (weight == k) & runs
            if self.mode == "pooled":
                by_sample = used.any(axis=1)
                visit = np.broadcast_to((np.cumsum(by_sample) - 1)[:, None], used.shape)[used]
                number[used], total[used] = visit, by_sample.sum()
            else:
                number[used], total[used] = np.arange(used.sum()), used.sum()
        return number.reshape(-1), total.reshape(-1)


@dataclass(frozen=True)
class Visits:
    """How the groups of one call enter the running statistics of its layers.

    ``number`` (V,), ``total`` (V,), ``group`` (V,) and ``slot`` (V,): one entry for every visit
    that this call makes; ``slot`` is the running average it belongs to.
    """

    number: Ints
    total: Ints
    group: Ints
    slot: Ints
    num_groups: int
    num_slots: int

    def coefficients(self, momentum: float | None) -> tuple[Floats, Floats, Ints]:
        """Weights (slots, groups) of the groups' statistics, decay (slots,) and visits (slots,).

        After n visits with statistics x_0 .. x_{n-1} a running average r has become
        (1 - m)^n r + sum_j m (1 - m)^(n - 1 - j) x_j. Without a momentum each visit weighs one.
        """
        if momentum is None:
            part, momentum = np.ones(len(self.number)), 0.0
        else:
            part = momentum * (1 - momentum) ** (self.total - 1 - self.number).astype(np.float64)
        weights = np.zeros((self.num_slots, self.num_groups))
        np.add.at(weights, (self.slot, self.group), part)
        visits = np.zeros(self.num_slots, dtype=np.int64)
        visits[self.slot] = self.total
        return weights, (1 - momentum) ** visits.astype(np.float64), visits


@dataclass
class RowGroups:
    """The rows that a layer sees: ``examples`` x ``groups``.

    Args:
        marker: empty tensor of shape (examples, groups, 0). Layers read both counts from its
            shape, which a compiler may treat as symbolic where it would bake in a Python integer.
        tasks: (groups,) the task of each group (its first one, where tasks share a group).
        visits: how the groups enter running statistics.
        segments: (groups,) for the pooled mode, the position of each group's sample.
        multiplicity: (groups,) how many columns run through each group.
        group_major: the order of the rows.
    """

    marker: Float[Tensor, "examples groups 0"]
    tasks: Int64[Tensor, " groups"]
    visits: Visits
    segments: Int64[Tensor, " groups"]
    multiplicity: Int64[Tensor, " groups"]
    group_major: bool
    _on_device: dict[float | None, tuple[Tensor, Tensor, Tensor]] = field(default_factory=dict)

    def coefficients(self, momentum: float | None) -> tuple[Tensor, Tensor, Tensor]:
        """:meth:`Visits.coefficients` as tensors on the rows' device; float64 on the CPU."""
        if momentum not in self._on_device:
            device = self.marker.device
            real = torch.float32 if device.type == "mps" else torch.float64
            weights, decay, count = self.visits.coefficients(momentum)
            self._on_device[momentum] = (
                torch.as_tensor(weights, dtype=real, device=device),
                torch.as_tensor(decay, dtype=real, device=device),
                torch.as_tensor(count, device=device),
            )
        return self._on_device[momentum]


@dataclass(frozen=True)
class Call:
    """One weight's share of a route: it reads groups ``source`` and writes groups ``target``."""

    weight: int
    source: Int64[Tensor, " n"]
    target: Int64[Tensor, " n"]
    rows: RowGroups


@dataclass(frozen=True)
class Route:
    """How the rows pass one unit.

    ``identity`` is set where a single weight reads all groups in order, so that nothing need be
    copied. ``calls`` are ordered by weight; targets are ordered by (parent, weight).
    """

    calls: tuple[Call, ...]
    groups_in: int
    groups_out: int
    level_out: int
    identity: bool


class RoutePlan:
    """The trie of distinct paths of some columns, and the routes between its levels.

    Args:
        order: the step that the columns belong to.
        samples: samples of the step that take part, ascending.
        tasks: tasks that take part, ascending; all with the same number of examples.
        examples: examples a task.
        branching: True: groups split unit by unit; False: every distinct whole column has its own
            rows from the start.
        common_input: True where all tasks read the same rows.
        merge_tasks: whether columns of different tasks may share rows of a common input.
        merge_samples: whether columns of different samples may share rows.
        group_major: the order of the rows. Group-major keeps the rows of a path together in
            memory, also in channels-last layout; example-major lets one batch-norm kernel
            normalise all paths.
        device: where index tensors live.
        mixed: units behind which columns are mixed: there every column has rows of its own, those
            that read one input one after the other, sample by sample. Needs ``branching``.
    """

    def __init__(
        self,
        order: StepOrder,
        samples: Sequence[int],
        tasks: Sequence[int],
        examples: int,
        *,
        branching: bool,
        common_input: bool,
        merge_tasks: bool,
        merge_samples: bool,
        group_major: bool,
        device: torch.device,
        mixed: Collection[int] = (),
    ) -> None:
        self.order, self.examples, self.branching, self.device = order, examples, branching, device
        self.group_major = group_major
        self.samples = np.asarray(samples, dtype=np.int64)
        self.tasks = np.asarray(tasks, dtype=np.int64)
        grid_s, grid_t = np.meshgrid(self.samples, self.tasks, indexing="ij")
        self._sample, self._task = grid_s.reshape(-1), grid_t.reshape(-1)
        self._column = self._sample * order.num_tasks + self._task
        self.num_inputs = 1 if common_input else len(self.tasks)
        self._mixed = frozenset(mixed)
        # (U, C): the weight of every unit in every column
        self._weights = np.ascontiguousarray(
            order.assignments[grid_s, :, grid_t].reshape(-1, order.num_units).T
        )
        root = np.zeros(len(self._column), dtype=np.int64)
        if not (common_input and merge_tasks):
            root = root * order.num_tasks + self._task
        if not merge_samples:
            root = root * order.num_samples + self._sample
        self._groups: list[Ints] = []  # per level (C,)
        self._first: list[Ints] = []  # per level (G,): one column of each group
        self._grow(root)
        self._rows: dict[int, RowGroups] = {}
        self._routes: dict[tuple[int, int], Route] = {}

    @property
    def num_units(self) -> int:
        """Units of the backbone; levels run from 0 to this."""
        return self.order.num_units

    def num_groups(self, level: int) -> int:
        """Distinct paths down to ``level``."""
        return len(self._first[level])

    def _grow(self, root: Ints) -> None:
        def add_level(code: Ints) -> None:
            _, first, group = np.unique(code, return_index=True, return_inverse=True)
            self._groups.append(group.reshape(-1))
            self._first.append(first)

        if self.branching:
            add_level(root)
            by_input = self._column
            if self.num_inputs > 1:
                by_input = by_input + self._task * (int(self._column.max()) + 1)
            for unit, weight in enumerate(self._weights):
                # by (parent, weight): children of one parent stay together
                split = self._groups[-1] * (int(weight.max()) + 1) + weight
                add_level(by_input if unit in self._mixed else split)
            return
        code = root
        for weight in self._weights:
            _, code = np.unique(code * (int(weight.max()) + 1) + weight, return_inverse=True)
            code = code.reshape(-1)
        add_level(code)
        self._groups *= self.num_units + 1
        self._first *= self.num_units + 1

    @cached_property
    def root_tasks(self) -> Ints:
        """(groups of level 0,) the position in ``tasks`` whose input each first group reads."""
        return np.searchsorted(self.tasks, self._task[self._first[0]])

    @cached_property
    def outputs(self) -> list[tuple[Tensor, Tensor]]:
        """For each task its groups (n,) at the last level, and (S,) which one a sample uses."""
        last, found = self._groups[-1], []
        for task in self.tasks:
            groups, which = np.unique(last[self._task == task], return_inverse=True)
            found.append((self._index(groups), self._index(which.reshape(-1))))
        return found

    def rows(self, level: int) -> RowGroups:
        """Rows as the layers outside the banks see them at ``level``."""
        if level not in self._rows:
            self._rows[level] = self._row_groups(level, None, np.arange(self.num_groups(level)))
        return self._rows[level]

    def route(self, unit: int, level: int) -> Route:
        """How rows at ``level`` pass ``unit``; a unit met at its own level branches the paths."""
        if (unit, level) not in self._routes:
            self._routes[unit, level] = self._plan_route(unit, level)
        return self._routes[unit, level]

    def _plan_route(self, unit: int, level: int) -> Route:
        branches = self.branching and level == unit
        level_out = level + 1 if branches else level
        first = self._first[level_out]
        weight = self._weights[unit][first]
        source = self._groups[level][first]
        calls = []
        for k in np.unique(weight):
            target = np.flatnonzero(weight == k)
            calls.append(
                Call(
                    int(k),
                    self._index(source[target]),
                    self._index(target),
                    self._row_groups(level_out, unit, target),
                )
            )
        groups_in = self.num_groups(level)
        identity = len(calls) == 1 and np.array_equal(source, np.arange(groups_in))
        return Route(tuple(calls), groups_in, len(first), level_out, identity)

    def _row_groups(self, level: int, unit: int | None, chosen: Ints) -> RowGroups:
        """Rows of the groups ``chosen`` (ascending) of a level, seen by one weight of ``unit``."""
        local = np.full(self.num_groups(level), -1, dtype=np.int64)
        local[chosen] = np.arange(len(chosen))
        group = local[self._groups[level]]  # (C,)
        inside = group >= 0
        number, total = self.order.visits(unit)
        column = self._column[inside]
        slot = self._task[inside] if self.order.mode == "task" else np.zeros_like(column)
        visit_group = group[inside]
        visits = number[column], total[column], visit_group, slot
        sample = self._sample[self._first[level][chosen]]
        _, segment = np.unique(sample, return_inverse=True)
        if self.order.mode == "pooled":
            # one visit a sample: its statistic is the segment's
            by_sample = np.unique(self._sample[inside], return_index=True)[1]
            segments = int(segment.max()) + 1
            visits = (
                number[column[by_sample]],
                total[column[by_sample]],
                np.arange(segments, dtype=np.int64),
                np.zeros(segments, dtype=np.int64),
            )
        num_groups = int(segment.max()) + 1 if self.order.mode == "pooled" else len(chosen)
        return RowGroups(
            marker=torch.empty(self.examples, len(chosen), 0, device=self.device),
            tasks=self._index(self._task[self._first[level][chosen]]),
            visits=Visits(
                *visits,
                num_groups=num_groups,
                num_slots=self.order.num_tasks if self.order.mode == "task" else 1,
            ),
            segments=self._index(segment.reshape(-1)),
            multiplicity=self._index(np.bincount(visit_group, minlength=len(chosen))),
            group_major=self.group_major,
        )

    def _index(self, values: Ints) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        return tensor.to(self.device, non_blocking=True)
