"""A step is planned: its sequential order, its micro-batches and their plans, each once."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..backbones.activations import measure_activations
from ..backbones.backbone import Backbone
from ..backbones.maps import FeatureMap
from ..data.batches import Batch
from ..routing import cpu
from ..routing.micro_batches import MicroBatch, plan_micro_batches
from ..routing.plan import PlanOptions, RoutePlan
from ..routing.statistics_schedule import Ints, StepOrder
from ..support.errors import MtlError

_KEPT_PLANS = 16
# of a budget; gradients on their way and the allocator's gaps take the rest (benchmarks/memory.py)
_PLANNED = 0.85


@dataclass(frozen=True)
class StepPlan:
    """A step plan is the order of a step under some assignments, and its passes."""

    order: StepOrder
    micro_batches: tuple[tuple[MicroBatch, RoutePlan], ...]


class Planner:
    """A planner plans steps and predictions over one backbone, and keeps the last plans.

    Args:
        backbone: the backbone, which says what is shared and where.
        weights_per_unit: K of every unit.
        num_tasks: T, the number of tasks.
        branching: whether rows split unit by unit.
        group_major: whether rows are group-major; ``None``: on the CPU only.
        mixed: units behind which columns are mixed, see :class:`PlanOptions`.
        maps: the maps that each task's head reads.
        head_sizes: returns the bytes that each task's head keeps for one row.
        weight_sizes: returns the bytes of one weight of each unit.
    """

    def __init__(
        self,
        backbone: Backbone,
        weights_per_unit: Sequence[int],
        num_tasks: int,
        branching: bool,
        group_major: bool | None,
        mixed: Collection[int] = (),
        maps: Sequence[tuple[FeatureMap, ...]] = (),
        head_sizes: Callable[[], Sequence[int]] = tuple,
        weight_sizes: Callable[[], Sequence[int]] = tuple,
    ) -> None:
        self.backbone = backbone
        self.weights_per_unit = tuple(weights_per_unit)
        self.num_tasks = num_tasks
        self.branching = branching
        self.group_major = group_major
        self.mixed = frozenset(mixed)
        self._maps, self._head_sizes, self._weight_sizes = tuple(maps), head_sizes, weight_sizes
        self._kept: dict[tuple[object, ...], StepPlan] = {}

    @cached_property
    def _activation_bytes(self) -> tuple[int, ...]:
        return measure_activations(self.backbone)

    @cached_property
    def _head_bytes(self) -> tuple[int, ...]:
        return tuple(self._head_sizes())

    @cached_property
    def _weight_bytes(self) -> tuple[int, ...]:
        return tuple(self._weight_sizes())

    def step(
        self,
        batch: Batch,
        assignments: Ints,
        training: bool,
        memory_budget: int | None,
        apart: bool = False,
        batched: bool = False,
    ) -> StepPlan:
        """Return the plan of a batch under ``assignments`` (S, U, T).

        Tasks without a labelled example in the batch are not run, unless others read their columns.

        Args:
            batch: the batch, whose sizes, labels and device decide.
            assignments: weights by sample, unit and task.
            training: whether statistics are gathered and dropout draws.
            memory_budget: MiB for the activations of a pass; ``None``: no limit.
            apart: whether no two columns share rows, not even where they agree.
            batched: whether the weights of a unit run in one call.

        Raises:
            MtlError: if batch or assignments do not fit the networks.
        """
        self._check(batch, assignments, training)
        sizes = tuple(len(x) for x in batch.inputs)
        needed = self.mixed and batch.common_input
        present = tuple(range(self.num_tasks)) if needed else batch.labelled_tasks
        device = batch.inputs[0].device
        key = (
            sizes, present, batch.common_input, device, training, memory_budget,
            assignments.shape, assignments.tobytes(), apart, batched,
        )  # fmt: skip
        return self._again(key) or self._keep(
            key,
            self._plan(assignments, sizes, present, batch.common_input, training, memory_budget,
                       device, apart, batched),
        )  # fmt: skip

    def prediction(
        self,
        tasks: Sequence[int],
        assignments: Ints,
        rows: int,
        training: bool,
        device: torch.device,
        batched: bool = False,
    ) -> RoutePlan:
        """Plan ``rows`` inputs that some tasks read, under ``assignments`` (S, U, T)."""
        key = (
            "predict", *tasks, rows, training, device, assignments.shape, assignments.tobytes(),
            batched,
        )  # fmt: skip
        kept = self._again(key)
        if kept is None:
            order = StepOrder(assignments, self.backbone.normalization)
            micro_batch = MicroBatch(tuple(range(len(assignments))), tuple(tasks))
            plan = self._route(
                order, micro_batch, rows, len(tasks) > 1, training, device, batched=batched
            )
            kept = self._keep(key, StepPlan(order, ((micro_batch, plan),)))
        return kept.micro_batches[0][1]

    def _again(self, key: tuple[object, ...]) -> StepPlan | None:
        """Return a plan that is kept; those that were used longest ago are the first to go."""
        plan = self._kept.pop(key, None)
        if plan is not None:
            self._kept[key] = plan
        return plan

    def _keep(self, key: tuple[object, ...], plan: StepPlan) -> StepPlan:
        if len(self._kept) >= _KEPT_PLANS:
            self._kept.pop(next(iter(self._kept)))
        self._kept[key] = plan
        return plan

    def _plan(
        self,
        assignments: Ints,
        sizes: tuple[int, ...],
        present: tuple[int, ...],
        common_input: bool,
        training: bool,
        memory_budget: int | None,
        device: torch.device,
        apart: bool,
        batched: bool,
    ) -> StepPlan:
        order = StepOrder(
            assignments, self.backbone.normalization, present, common_input, self.mixed
        )
        bytes_per_row = None if memory_budget is None else self._activation_bytes
        budget = None if memory_budget is None else int(memory_budget * 2**20 * _PLANNED)

        def route(micro_batch: MicroBatch) -> RoutePlan:
            examples = sizes[micro_batch.tasks[0]]
            return self._route(
                order, micro_batch, examples, common_input, training, device, apart, batched
            )

        def cost(micro_batch: MicroBatch) -> int:
            assert bytes_per_row is not None
            plan = route(micro_batch)
            levels = (plan.num_groups(level) for level in range(plan.num_units + 1))
            units = sum(n * size for n, size in zip(levels, bytes_per_row, strict=True))
            rows = plan.examples * (units + self._cost_of_heads(micro_batch, plan))
            return rows + (self._cost_of_copies(plan) if batched else 0)

        micro_batches = plan_micro_batches(
            order.num_samples,
            {task: sizes[task] for task in present},
            budget,
            cost,
            whole_samples=self.backbone.normalization == "pooled" and training,
            whole_tasks=common_input and not apart,
            split_samples=not self.mixed,
        )
        return StepPlan(
            order, tuple((micro_batch, route(micro_batch)) for micro_batch in micro_batches)
        )

    def _cost_of_copies(self, plan: RoutePlan) -> int:
        """Return the bytes of a copy of its weight for every group, and of the copy's gradient."""
        sizes = enumerate(self._weight_bytes, 1)
        return 2 * sum(plan.num_groups(level) * size for level, size in sizes)

    def _cost_of_heads(self, micro_batch: MicroBatch, plan: RoutePlan) -> int:
        """Return the bytes of one example in the heads of tasks with maps, one row a path."""
        cost = 0
        for position, task in enumerate(micro_batch.tasks):
            if self._maps and self._maps[task]:
                levels = tuple(each.level for each in self._maps[task])
                groups = plan.outputs_at(levels)[position][0]
                cost += len(groups[0]) * self._head_bytes[task]
        return cost

    def _route(
        self,
        order: StepOrder,
        micro_batch: MicroBatch,
        examples: int,
        common_input: bool,
        training: bool,
        device: torch.device,
        apart: bool = False,
        batched: bool = False,
    ) -> RoutePlan:
        mode = self.backbone.normalization
        options = PlanOptions(
            device,
            branching=self.branching,
            common_input=common_input,
            # with own running averages a task, tasks see different layers in evaluation
            merge_tasks=(training or mode != "task") and not apart,
            # a pooled statistic belongs to one sample; mixed columns have a common beginning
            merge_samples=bool(self.mixed) or not (apart or (training and mode == "pooled")),
            group_major=self.is_group_major(device),
            mixed=self.mixed,
            batched=batched,
        )
        return RoutePlan(order, micro_batch.samples, micro_batch.tasks, examples, options)

    def is_group_major(self, device: torch.device) -> bool:
        """Say whether rows on a device are group-major."""
        return cpu.suits(device) if self.group_major is None else self.group_major

    def _check(self, batch: Batch, assignments: Ints, training: bool) -> None:
        units, tasks = len(self.weights_per_unit), self.num_tasks
        if tuple(assignments.shape[1:]) != (units, tasks) or not len(assignments):
            raise MtlError(
                f"assignments should have shape (samples >= 1, {units} units, {tasks} tasks), "
                f"found {tuple(assignments.shape)}"
            )
        if len(batch.inputs) != tasks:
            raise MtlError(f"the batch holds {len(batch.inputs)} tasks, the networks {tasks}")
        if assignments.min() < 0:
            raise MtlError(f"assignments should be at least 0, found {assignments.min()}")
        most = np.max(assignments, axis=(0, 2)).tolist()
        for unit, (last, count) in enumerate(zip(most, self.weights_per_unit, strict=True)):
            if last >= count:
                raise MtlError(
                    f"assignments name weight {last} of unit {self.backbone.units[unit].name!r}, "
                    f"which has {count}"
                )
        sizes = {len(x) for x in batch.inputs}
        if len(sizes) > 1 and training and self.backbone.normalization == "pooled":
            raise MtlError(
                f"normalization 'pooled' needs one batch size for all tasks, found {sorted(sizes)}"
            )
