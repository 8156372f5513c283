"""Assignments become a plan of which rows meet which weights.

Rows of a batch are (example, path) pairs, in one of two orders: example-major, row b * G + g, or
group-major, row g * B + b. The :class:`PathTrie` says which paths there are; the plan of a pass
adds the routes between its levels and what layers ask about their rows. All planning happens in
numpy on the CPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from .path_trie import PathTrie, distinct
from .statistics_schedule import Ints, StepOrder
from .statistics_weights import Columns, LayerCall, StatisticsWeights


class RouteError(RuntimeError):
    """This is raised where rows and plan do not fit: routing cannot follow the backbone."""


@dataclass(frozen=True)
class PlanOptions:
    """These options say how a pass runs its columns.

    Args:
        device: the device of index tensors.
        branching: whether groups split unit by unit; if not, every distinct whole column has its
            own rows from the start.
        common_input: whether all tasks read the same rows.
        merge_tasks: whether columns of different tasks may share rows of a common input.
        merge_samples: whether columns of different samples may share rows.
        group_major: whether rows are group-major, else example-major. Group-major keeps the rows of
            a path together in memory, also in channels-last layout; example-major lets one
            batch-norm kernel normalise all paths.
        mixed: units behind which columns are mixed: there every column has rows of its own, those
            that read one input one after the other, sample by sample. A layer that all samples of
            a task still have in common is visited once. Needs ``branching``, and all samples.
        batched: whether the weights of a unit run in one call, a copy of a weight for every group.
    """

    device: torch.device
    branching: bool = True
    common_input: bool = False
    merge_tasks: bool = True
    merge_samples: bool = True
    group_major: bool = False
    mixed: frozenset[int] = frozenset()
    batched: bool = False


class RowGroups:
    """Row groups are the rows that a layer sees: ``examples`` x ``groups``.

    What only some layers ask for is worked out when they do.

    Args:
        plan: the plan of the pass that the rows belong to.
        level: number of units that the rows have passed.
        unit: the unit whose weight sees them; ``None``: a layer outside the banks.
        chosen: (groups,), numbers of the groups among those of the level, ascending.
        call: number of the call among those of its route.
        span: first and behind-last position of the groups in the order of all calls of the route.

    Attributes:
        marker: empty tensor of shape (examples, groups, 0). Layers read both counts from its
            shape, which a compiler may treat as symbolic where it would bake in a Python integer.
        group_major: whether rows are group-major.
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
        self.marker = torch.empty(plan.examples, len(chosen), 0, device=plan.options.device)
        self.group_major = plan.options.group_major
        self.plan, self.level = plan, level
        self._unit, self._chosen, self._call, self._span = unit, chosen, call, span
        self._pooled: dict[tuple[LayerCall, torch.dtype], tuple[Tensor, Ints]] = {}

    @property
    def _first(self) -> Ints:
        """Return one column of each group."""
        return self.plan.trie.first[self.level][self._chosen]

    @cached_property
    def tasks(self) -> Int64[Tensor, " groups"]:
        """Return the task of each group: its first one, where tasks share a group."""
        return self.plan.index(self.plan.columns.task[self._first])

    @cached_property
    def segments(self) -> Int64[Tensor, " groups"]:
        """For the pooled mode, the position of each group's sample among those here."""
        return self.plan.index(self._segments)

    @property
    def num_segments(self) -> int:
        """Return the number of samples that have groups here."""
        return int(self._segments.max()) + 1

    @cached_property
    def _segments(self) -> Ints:
        return distinct(self.plan.columns.sample[self._first])[1]

    @cached_property
    def multiplicity(self) -> Int64[Tensor, " groups"]:
        """Return the number of columns that run through each group."""
        return self.plan.index(self.plan.trie.sizes(self.level)[self._chosen])

    @cached_property
    def fewest(self) -> int:
        """Return the smallest number of groups whose rows make one statistic; 1 unless pooled."""
        pooled = self.plan.statistics.is_pooled
        return int(np.bincount(self._segments).min()) if pooled else 1

    def layer_call(
        self, momentum: float | None, calls: Sequence["RowGroups"] = (), number: int = 0
    ) -> LayerCall:
        """Say which call of a layer these rows are; arguments as in :meth:`coefficients`."""
        levels = tuple(call.level for call in calls) or (self.level,)
        return LayerCall(self._unit, levels, number, momentum)

    def coefficients(
        self,
        momentum: float | None,
        dtype: torch.dtype,
        calls: Sequence["RowGroups"] = (),
        number: int = 0,
    ) -> tuple[Tensor, Ints]:
        """Return by how much each group enters running averages, and how often they are visited.

        The weights (slots, groups) are those of the groups' statistics (pooled: of the samples'),
        on the rows' device; the visits are (slots,). See
        :func:`~mtl_framework.routing.statistics_schedule.visit_shares`.

        Args:
            momentum: momentum of the layer.
            dtype: dtype of the weights.
            calls: the rows at each of the layer's calls in the pass; default: these alone.
            number: which of these calls is asked about.
        """
        call, statistics = self.layer_call(momentum, calls, number), self.plan.statistics
        if not statistics.is_pooled:
            weights, visits = statistics.of(call, dtype)
            return weights[:, self._span], visits[self._call]
        key = call, dtype
        if key not in self._pooled:
            shares, total = statistics.by_sample(call, self._chosen)
            weights = torch.from_numpy(shares[None]).to(dtype)
            weights = weights.to(self.plan.options.device, non_blocking=True)
            self._pooled[key] = weights, total[:1]
        return self._pooled[key]


@dataclass(frozen=True)
class Call:
    """A call is one weight's share of a route: it reads groups ``source`` and writes ``target``."""

    weight: int
    source: Int64[Tensor, " n"]
    target: Int64[Tensor, " n"]
    rows: RowGroups


@dataclass(frozen=True)
class Route:
    """A route says how the rows pass one unit.

    ``identity`` is set where a single weight reads all groups in order, so that nothing need be
    copied. ``calls`` are ordered by weight. They read (``reads_in_order``) or write
    (``writes_in_order``) all groups once, one call after the other: writing where the unit's paths
    branch or have branched, reading where they have, or where each task has weights of its own.

    In one call of all weights, output group g reads the group ``source[g]`` with the weight of the
    call ``call_of[g]``. In the example of :class:`PathTrie`, the calls of unit 1 have the weights 0
    and 1, ``source`` is 0, 1, 0 and ``call_of`` 0, 0, 1.
    """

    calls: tuple[Call, ...]
    source: Int64[Tensor, " groups_out"]
    call_of: Int64[Tensor, " groups_out"]
    groups_in: int
    groups_out: int
    level_out: int
    identity: bool
    reads_in_order: bool
    writes_in_order: bool


class RoutePlan:
    """A plan of a pass of some columns of a step holds their trie of paths, and the routes in it.

    Args:
        order: the sequential order of the step that the columns belong to.
        samples: samples of the step that take part, ascending.
        tasks: tasks that take part, ascending; all with the same number of examples.
        examples: number of examples of each task.
        options: how the columns are run.
    """

    def __init__(
        self,
        order: StepOrder,
        samples: Sequence[int],
        tasks: Sequence[int],
        examples: int,
        options: PlanOptions,
    ) -> None:
        self.order, self.examples, self.options = order, examples, options
        self.tasks = np.asarray(tasks, dtype=np.int64)
        grid = np.meshgrid(np.asarray(samples, dtype=np.int64), self.tasks, indexing="ij")
        self.columns = columns = Columns(grid[0].reshape(-1), grid[1].reshape(-1))
        self.num_inputs = 1 if options.common_input else len(self.tasks)
        weights = order.assignments[columns.sample, :, columns.task].T  # (U, C)
        self.trie = PathTrie(
            np.ascontiguousarray(weights),
            self._root(),
            branching=options.branching,
            own_rows=dict.fromkeys(options.mixed, self._by_input()),
        )
        self.statistics = StatisticsWeights(
            order, self.trie, columns, bool(options.mixed), options.device
        )
        self._rows: dict[int, RowGroups] = {}
        self._routes: dict[tuple[int, int], Route] = {}
        self._outputs_at: dict[tuple[int, ...], list[tuple[tuple[Tensor, ...], Tensor]]] = {}

    def _root(self) -> Ints:
        """Return a code (C,) for every column, equal where rows may be shared at the start."""
        root = np.zeros_like(self.columns.sample)
        if not (self.options.common_input and self.options.merge_tasks):
            root = root * self.order.num_tasks + self.columns.task
        if not self.options.merge_samples:
            root = root * self.order.num_samples + self.columns.sample
        return root

    def _by_input(self) -> Ints:
        """Return a different code (C,) for every column; those of one input follow each other."""
        code = self.columns.numbers(self.order)
        if self.num_inputs > 1:
            code = code + self.columns.task * (int(code.max()) + 1)
        return code

    @property
    def num_units(self) -> int:
        """Return the number of units of the backbone; levels run from 0 to this."""
        return self.order.num_units

    @property
    def group_major(self) -> bool:
        """Say whether the rows of a group lie together, instead of those of an example."""
        return self.options.group_major

    def num_groups(self, level: int) -> int:
        """Return the number of distinct paths down to ``level``."""
        return self.trie.num_groups(level)

    @cached_property
    def root_tasks(self) -> Ints:
        """(groups of level 0,) the position in ``tasks`` whose input each first group reads."""
        return np.searchsorted(self.tasks, self.columns.task[self.trie.first[0]])

    @cached_property
    def outputs(self) -> list[tuple[Tensor, Tensor]]:
        """For each task its groups (n,) at the last level, and (S,) which one a sample uses."""
        last, by_task = self.trie.groups[-1], []
        for task in self.tasks:
            own = last[self.columns.task == task]
            first, which = distinct(own)
            by_task.append((self.index(own[first]), self.index(which)))
        return by_task

    def outputs_at(self, levels: tuple[int, ...]) -> list[tuple[tuple[Tensor, ...], Tensor]]:
        """Return for each task the groups of several levels that make up the rows of its paths.

        A task's paths are told apart at the deepest of the levels: one row each, and of an earlier
        level the group that the path has come through, perhaps the same one for several.

        In the example of :class:`PathTrie`, levels (1, 2) of one task with all four columns give
        the groups 0, 1, 0 of level 1 beside 0, 1, 2 of level 2, and 2, 1, 1, 0 by column.

        Returns:
            for each task the groups (n,) of every level, and (S,) which of the n a sample uses.
        """
        if levels not in self._outputs_at:
            groups, by_task = self.trie.groups, []
            for task in self.tasks:
                columns = np.flatnonzero(self.columns.task == task)
                first, which = distinct(groups[max(levels)][columns])
                own = tuple(self.index(groups[level][columns[first]]) for level in levels)
                by_task.append((own, self.index(which)))
            self._outputs_at[levels] = by_task
        return self._outputs_at[levels]

    def rows(self, level: int) -> RowGroups:
        """Return the rows as the layers outside the banks see them at ``level``."""
        if level not in self._rows:
            self._rows[level] = RowGroups(self, level, None, np.arange(self.num_groups(level)))
        return self._rows[level]

    def route(self, unit: int, level: int) -> Route:
        """Return how rows at ``level`` pass ``unit``, which at its own level branches the paths."""
        if (unit, level) not in self._routes:
            self._routes[unit, level] = self._plan_route(unit, level)
        return self._routes[unit, level]

    def _plan_route(self, unit: int, level: int) -> Route:
        """Plan the calls of a unit by weight, each with the groups that it reads and writes.

        In the example of :class:`PathTrie`, unit 1 takes the groups 0, 1 of level 1 to 0, 1, 2 of
        level 2, whose first columns d, b, a had the groups 0, 1, 0: ``source`` is 0, 1, 0. The call
        of weight 0 reads groups 0 and 1 and writes 0 and 1, that of weight 1 reads 0 and writes 2.
        """
        level_out = max(level, unit + 1)  # a later place of a unit branches nothing
        order, starts = self.trie.calls(unit, level_out)
        first = self.trie.first[level_out]
        weight = self.trie.weights[unit][first][order]
        source = self.trie.groups[level][first]
        call_of = self.trie.call_of(unit, level_out)
        by_call = self.index(np.stack([source[order], order, source, call_of]))  # one transfer
        calls = []
        for number, (start, stop) in enumerate(pairwise(starts.tolist())):
            span = slice(start, stop)
            rows = RowGroups(self, level_out, unit, order[span], number, span)
            calls.append(Call(int(weight[start]), by_call[0, span], by_call[1, span], rows))
        groups_in = self.num_groups(level)
        reads = np.array_equal(source[order], np.arange(groups_in))
        writes = np.array_equal(order, np.arange(len(order)))
        identity = len(calls) == 1 and reads
        sizes = groups_in, len(order), level_out
        return Route(tuple(calls), by_call[2], by_call[3], *sizes, identity, reads, writes)

    def index(self, values: Ints) -> Tensor:
        """Move whole numbers to the rows' device."""
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        return tensor.to(self.options.device, non_blocking=True)
