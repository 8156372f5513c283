"""From assignments to a plan of which rows meet which weights.

Rows of a batch are (example, path) pairs, in one of two orders: example-major, row b * G + g, or
group-major, row g * B + b. A column is one (sample, task) pair; its
path through the backbone depends on its own entries of the assignment only. Columns that agree on
their first units share their rows up to there, so the columns form a trie, whose nodes at one
depth are the *groups* of that level. All planning happens in numpy on the CPU.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from .statistics_schedule import Floats, Ints, StepOrder, Visits, visit_shares

_Statistic = tuple[tuple[int, ...], int, float | None, torch.dtype]
"""What running averages take from a pass: levels of a layer's calls, which of them, momentum."""


class RouteError(RuntimeError):
    """Rows and plan do not fit: the backbone does something that routing cannot follow."""


class RowGroups:
    """The rows that a layer sees: ``examples`` x ``groups``.

    What only some layers ask for is worked out when they do.

    Args:
        plan: what the rows belong to.
        level: how far their paths have branched.
        unit: whose weight sees them; ``None``: a layer outside the banks.
        chosen: (groups,) which groups of the level, ascending.
        call: number of the call among those of its route.
        span: where the groups stand in the order of all calls of the route.

    Attributes:
        marker: empty tensor of shape (examples, groups, 0). Layers read both counts from its
            shape, which a compiler may treat as symbolic where it would bake in a Python integer.
        group_major: the order of the rows.
    """

    marker: Float[Tensor, "examples groups 0"]

    def __init__(
        self,
        plan: "RoutePlan",
        level: int,
        unit: int | None,
        chosen: Ints,
        call: int = 0,
        span: slice = slice(None),
    ) -> None:
        self.marker = torch.empty(plan.examples, len(chosen), 0, device=plan.device)
        self.group_major = plan.group_major
        self.plan, self._level, self._unit = plan, level, unit
        self._chosen, self._call, self._span = chosen, call, span
        self._pooled: dict[_Statistic, tuple[Tensor, Ints]] = {}

    @cached_property
    def tasks(self) -> Int64[Tensor, " groups"]:
        """The task of each group: its first one, where tasks share a group."""
        return self.plan.index(self.plan.task_of(self._level)[self._chosen])

    @cached_property
    def segments(self) -> Int64[Tensor, " groups"]:
        """For the pooled mode, the position of each group's sample among those here."""
        return self.plan.index(self._segments)

    @property
    def num_segments(self) -> int:
        """Samples that have groups here."""
        return int(self._segments.max()) + 1

    @cached_property
    def _segments(self) -> Ints:
        return distinct(self.plan.sample_of(self._level)[self._chosen])[1]

    @cached_property
    def multiplicity(self) -> Int64[Tensor, " groups"]:
        """How many columns run through each group."""
        return self.plan.index(self.plan.columns_of(self._level)[self._chosen])

    @cached_property
    def fewest(self) -> int:
        """Groups whose rows a statistic is of, where that is fewest: one, but for pooled ones."""
        return int(np.bincount(self._segments).min()) if self.plan.is_pooled else 1

    def coefficients(
        self,
        momentum: float | None,
        dtype: torch.dtype,
        calls: Sequence["RowGroups"] = (),
        number: int = 0,
    ) -> tuple[Tensor, Ints]:
        """How the groups enter running averages.

        Weights (slots, groups) of the groups' statistics (pooled: of the samples') on the rows'
        device, and visits (slots,). See
        :func:`~mtl_framework.routing.statistics_schedule.visit_shares`.

        Args:
            momentum: of the layer.
            dtype: of the weights.
            calls: what the layer saw at each of its calls in the pass; default: this alone.
            number: which of the calls this is.
        """
        levels = tuple(call._level for call in calls) or (self._level,)
        if not self.plan.is_pooled:
            weights, visits = self.plan.statistics(self._unit, levels, number, momentum, dtype)
            return weights[:, self._span], visits[self._call]
        key = levels, number, momentum, dtype
        if key not in self._pooled:
            shares, total = self.plan.sample_shares(
                self._unit, levels, number, momentum, self._chosen
            )
            self._pooled[key] = self.plan.real(shares[None], dtype), total[:1]
        return self._pooled[key]


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
    copied. ``calls`` are ordered by weight. They read (``reads_in_order``) or write
    (``writes_in_order``) all groups once, one call after the other: writing where the unit's paths
    branch or have branched, reading where they have, or where each task has weights of its own.
    """

    calls: tuple[Call, ...]
    groups_in: int
    groups_out: int
    level_out: int
    identity: bool
    reads_in_order: bool
    writes_in_order: bool


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
            that read one input one after the other, sample by sample. A layer that all samples of
            a task still have in common is visited once. Needs ``branching``, and all samples.
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
        self._statistics: dict[tuple[int | None, _Statistic], tuple[Tensor, Ints]] = {}

    @property
    def num_units(self) -> int:
        """Units of the backbone; levels run from 0 to this."""
        return self.order.num_units

    def num_groups(self, level: int) -> int:
        """Distinct paths down to ``level``."""
        return len(self._first[level])

    def _grow(self, root: Ints) -> None:
        def add_level(code: Ints) -> None:
            first, group = distinct(code)
            self._groups.append(group)
            self._first.append(first)

        if self.branching:
            add_level(root)
            by_input = self._column
            if self.num_inputs > 1:
                by_input = by_input + self._task * (int(self._column.max()) + 1)
            for unit, weight in enumerate(self._weights):
                # by (weight, parent): what the calls return then lies in order, one call's rows
                # behind the other's, also for further places of the unit
                split = weight * len(self._first[-1]) + self._groups[-1]
                add_level(by_input if unit in self._mixed else split)
            return
        code = root
        for weight in self._weights:
            _, code = distinct(code * (int(weight.max()) + 1) + weight)
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
            own = last[self._task == task]
            first, which = distinct(own)
            found.append((self.index(own[first]), self.index(which)))
        return found

    def rows(self, level: int) -> RowGroups:
        """Rows as the layers outside the banks see them at ``level``."""
        if level not in self._rows:
            self._rows[level] = RowGroups(self, level, None, np.arange(self.num_groups(level)))
        return self._rows[level]

    def route(self, unit: int, level: int) -> Route:
        """How rows at ``level`` pass ``unit``; a unit met at its own level branches the paths."""
        if (unit, level) not in self._routes:
            self._routes[unit, level] = self._plan_route(unit, level)
        return self._routes[unit, level]

    def _plan_route(self, unit: int, level: int) -> Route:
        level_out = max(level, unit + 1)  # a later place of a unit branches nothing
        order, starts = self._calls(unit, level_out)
        weight = self._weights[unit][self._first[level_out]][order]
        source = self._groups[level][self._first[level_out]]
        both = self.index(np.stack([source[order], order]))  # one transfer for all calls
        calls = []
        for number, (start, stop) in enumerate(pairwise(starts.tolist())):
            span = slice(start, stop)
            calls.append(
                Call(
                    int(weight[start]),
                    both[0, span],
                    both[1, span],
                    RowGroups(self, level_out, unit, order[span], number, span),
                )
            )
        groups_in = self.num_groups(level)
        reads = np.array_equal(source[order], np.arange(groups_in))
        writes = np.array_equal(order, np.arange(len(order)))
        identity = len(calls) == 1 and reads
        return Route(tuple(calls), groups_in, len(order), level_out, identity, reads, writes)

    def _calls(self, unit: int | None, level: int) -> tuple[Ints, Ints]:
        """Groups (G,) of a level by the weight that they use, and where each weight's begin."""
        groups = self.num_groups(level)
        if unit is None:
            return np.arange(groups), np.array([0, groups])
        weight = self._weights[unit][self._first[level]]
        order = weight.argsort(kind="stable")
        ordered = weight[order]
        starts = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
        return order, np.concatenate([[0], starts, [groups]])

    # -- what layers ask about their rows --------------------------------------------------------

    def task_of(self, level: int) -> Ints:
        """(groups,) the first task that runs through each group of a level."""
        found: Ints = self._task[self._first[level]]
        return found

    def sample_of(self, level: int) -> Ints:
        """(groups,) the first sample that runs through each group of a level."""
        found: Ints = self._sample[self._first[level]]
        return found

    def columns_of(self, level: int) -> Ints:
        """(groups,) how many columns run through each group of a level."""
        return np.bincount(self._groups[level], minlength=self.num_groups(level))

    @property
    def is_pooled(self) -> bool:
        """Whether a statistic is of all rows of a weight under a sample."""
        return self.order.mode == "pooled"

    def statistics(
        self,
        unit: int | None,
        levels: tuple[int, ...],
        number: int,
        momentum: float | None,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Ints]:
        """How all groups enter the running averages of a unit's weights at one call of a layer.

        Weights (slots, groups), groups in the order of the route's calls; visits (calls, slots).

        Args:
            unit: of the layer; ``None``: it is outside the banks.
            levels: of the rows at each call of the layer within the pass.
            number: of the call that is asked about.
            momentum: of the layer.
            dtype: of the weights.
        """
        key = unit, (levels, number, momentum, dtype)
        if key not in self._statistics:
            level = levels[number]
            order, starts = self._calls(unit, level)
            slots, groups = self.order.num_slots, len(order)
            slot = self._task if slots > 1 else np.zeros_like(self._task)
            shares, total = self._shares(unit, levels, number, momentum)
            place = slot * groups + self._groups[level]
            weights = np.bincount(place, shares, slots * groups).reshape(slots, groups)
            call_of = np.empty(groups, dtype=np.int64)
            call_of[order] = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
            visits = np.zeros((len(starts) - 1, slots), dtype=np.int64)
            visits[call_of[self._groups[level]], slot] = total
            self._statistics[key] = (
                self.real(weights[:, order].astype(np.float64, copy=False), dtype),
                visits,
            )
        return self._statistics[key]

    def _shares(
        self, unit: int | None, levels: tuple[int, ...], number: int, momentum: float | None
    ) -> tuple[Floats, Ints]:
        """What each column (C,) adds at one call to its weight's averages; their visits in all.

        A layer that is called several times in a pass is visited so often by every column before
        the next column comes. With two calls the visits of columns a and b are a1, a2, b1, b2:
        before b2 come those of a at both calls, and b1.
        """
        by_call = [self._visits(unit, level) for level in levels]
        before: Ints = np.sum([visits.before for visits in by_call], axis=0)
        total: Ints = np.sum([visits.total for visits in by_call], axis=0)
        for visits in by_call[:number]:
            before = before + visits.counted
        counted = by_call[number].counted
        return visit_shares(before, total, momentum) * counted, total

    def _visits(self, unit: int | None, level: int) -> Visits:
        """Visits of a unit's weights by the columns of the plan (C,)."""
        if self.order.counts_rows or not self._is_joint(level):
            return self.order.visits(unit, level).of(self._column)
        first = self.order.first_sample.visits(unit, level).of(self._task)
        return replace(first, counted=first.counted & (self._sample == self.samples[0]))

    def _is_joint(self, level: int) -> bool:
        """Whether columns that are mixed further down are still one, and visit a layer once."""
        groups = self._groups[level].reshape(len(self.samples), -1)
        return bool(self._mixed) and bool((groups == groups[:1]).all())

    def sample_shares(
        self,
        unit: int | None,
        levels: tuple[int, ...],
        number: int,
        momentum: float | None,
        chosen: Ints,
    ) -> tuple[Floats, Ints]:
        """Like :meth:`statistics` by sample (samples,), of those with groups among ``chosen``."""
        level = levels[number]
        inside = np.isin(self._groups[level], chosen)
        if self._is_joint(level):
            inside &= self._sample == self.samples[0]
        first = np.unique(self._sample[inside], return_index=True)[1]
        shares, total = self._shares(unit, levels, number, momentum)
        return shares[inside][first], total[inside][first]

    def index(self, values: Ints) -> Tensor:
        """Whole numbers on the rows' device."""
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        return tensor.to(self.device, non_blocking=True)

    def real(self, values: Floats, dtype: torch.dtype) -> Tensor:
        """Numbers on the rows' device."""
        return torch.as_tensor(values, dtype=dtype, device=self.device)


def distinct(codes: Ints) -> tuple[Ints, Ints]:
    """The first place of every value, by ascending value, and (n,) which value each entry has."""
    order = codes.argsort(kind="stable")
    ordered = codes[order]
    new = np.ones(len(codes), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    which = np.empty(len(codes), dtype=np.int64)
    which[order] = np.cumsum(new) - 1
    return order[new], which
