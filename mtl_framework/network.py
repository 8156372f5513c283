"""TaskNetworks: one backbone, banks of weights, a head for every task."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from .backbones import Backbone
from .banks import WeightBank
from .chunks import Chunk, plan_chunks
from .context import RoutingContext
from .data.batches import Batch
from .distributed import all_reduce_gradients, all_reduce_mean, is_distributed
from .errors import MtlError
from .extraction import extract_plain
from .heads import HeadBank, resized
from .layout import RowLayout
from .model import MultiTaskModel, ParameterCounts, Sharing
from .norms import route_norms
from .routing import Ints, RouteError, RoutePlan, StepOrder
from .tasks import Task

Assignments = Int[Tensor, "samples units tasks"]
_KEPT_PLANS = 16


@dataclass(frozen=True)
class _Step:
    """What a step with some assignments will do: its order and its chunks, planned once."""

    order: StepOrder
    chunks: tuple[tuple[Chunk, RoutePlan], ...]


def _refuse_checkpointing(enable: bool = True) -> None:
    """The model's own switch would repeat calls outside the pass that knows their rows."""
    if enable:
        raise MtlError(
            "set_grad_checkpointing of a rewritten backbone loses track of its rows; build "
            "TaskNetworks(..., checkpoint=True) instead"
        )


class TaskNetworks(MultiTaskModel):
    """Per-task networks over banks of weights.

    Every place of a unit is replaced by a :class:`WeightBank`; the backbone's own ``forward``
    stays as it is. One pass serves all tasks under all sampled assignments: columns (sample, task)
    that agree on their first units share the rows up to there.

    Args:
        backbone: what is shared and where.
        tasks: each gets a linear head.
        weights_per_unit: K, for all units or one for each. Copy k of every unit comes from the
            k-th freshly initialised model (all equal where the backbone is pretrained).
        branching: overrides what the backbone's probe found, for tests and measurements.
        checkpoint: recompute the activations of units in the backward pass.
        group_major: order of the rows in memory; default: group-major on the CPU, where it goes
            together with channels-last images, example-major elsewhere.

    Raises:
        MtlError: if a number of weights is below one or there is not one for each unit; if the
            backbone has layers with running statistics of an unknown kind.
    """

    def __init__(
        self,
        backbone: Backbone,
        tasks: Sequence[Task],
        weights_per_unit: int | Sequence[int],
        *,
        branching: bool | None = None,
        checkpoint: bool = False,
        group_major: bool | None = None,
    ) -> None:
        super().__init__(tasks)
        units = len(backbone.units)
        if isinstance(weights_per_unit, int):
            weights_per_unit = [weights_per_unit] * units
        if len(weights_per_unit) != units:
            raise MtlError(
                f"weights_per_unit has {len(weights_per_unit)} entries, backbone "
                f"{backbone.name!r} has {units} units"
            )
        if min(weights_per_unit) < 1:
            raise MtlError(f"weights_per_unit should be at least 1, found {min(weights_per_unit)}")
        self.backbone = backbone
        self.weights_per_unit = tuple(weights_per_unit)
        self.branching = backbone.branching if branching is None else branching
        self._group_major = group_major
        self._format = torch.contiguous_format  # of images and convolutions
        self._context = RoutingContext()
        self._banks: list[list[WeightBank]] = []
        self.skeleton = self._rewrite(checkpoint)
        self.heads = self._put_heads()
        self.assignment: Tensor
        self.register_buffer("assignment", torch.zeros(units, len(self.tasks), dtype=torch.int64))
        self._steps: dict[tuple[object, ...], _Step] = {}

    def _rewrite(self, checkpoint: bool) -> nn.Module:
        backbone = self.backbone
        skeleton = backbone.create(2)
        copies: list[list[list[nn.Module]]] = [[[] for _ in places] for places in backbone.places]
        for k in range(max(self.weights_per_unit)):
            model = skeleton if k == 0 else backbone.create(2)
            for unit, places in enumerate(backbone.places):
                if k < self.weights_per_unit[unit]:
                    for position, place in enumerate(places):
                        copies[unit][position].append(model.get_submodule(place.names[0]))
        for unit, places in enumerate(backbone.places):
            self._banks.append([])
            for place, modules in zip(places, copies[unit], strict=True):
                bank = WeightBank(
                    modules, unit, backbone.ports[place.names[0]], self._context, checkpoint
                )
                self._banks[unit].append(bank)
                for name in place.names:
                    skeleton.set_submodule(name, bank)
        if hasattr(skeleton, "set_grad_checkpointing"):
            skeleton.set_grad_checkpointing = _refuse_checkpointing  # type: ignore[assignment]
        return route_norms(skeleton, self._context, backbone.normalization, len(self.tasks))

    def _put_heads(self) -> nn.ModuleList:
        """Every task's head: a linear layer, or copies of class layers, where they stay inside."""
        names = self.backbone.class_layers
        widths = [task.objective.num_outputs for task in self.tasks]
        if not self.backbone.heads_inside:
            self.skeleton.set_submodule(self.backbone.classifier, nn.Identity())
            return nn.ModuleList(nn.Linear(self.backbone.num_features, n) for n in widths)
        layers = [self.skeleton.get_submodule(name) for name in names]
        heads = [[resized(layer, n) for layer in layers] for n in widths]
        for name, copies in zip(names, zip(*heads, strict=True), strict=True):
            self.skeleton.set_submodule(name, HeadBank(copies, self._context))
        return nn.ModuleList(nn.ModuleList(head) for head in heads)

    # -- running -------------------------------------------------------------------------------

    def losses(self, batch: Batch, assignments: Assignments) -> Float[Tensor, "samples tasks"]:
        """Mean loss of every task's examples under every sampled assignment, differentiable.

        In training mode running statistics move as if samples had been run one after the other,
        task by task. The whole pass is held in memory: see :meth:`accumulate_gradients`.

        Raises:
            MtlError: if batch or assignments do not fit the networks.
        """
        step = self._plan(batch, assignments)
        columns: list[Tensor] = []
        try:
            for chunk, plan in step.chunks:
                columns.append(self._run(batch, chunk, plan))
        except BaseException:
            self._context.discard()
            raise
        self._context.commit()
        return self._assemble(step, columns)

    def accumulate_gradients(
        self,
        batch: Batch,
        assignments: Assignments,
        weights: Float[Tensor, "samples tasks"] | None = None,
    ) -> Float[Tensor, "samples tasks"]:
        """Add the gradients of sum(weights * losses), a part at a time within the memory budget.

        Gradients add to what the parameters hold; weights that no path uses get none. With several
        processes gradients, statistics and losses are averaged over them.

        Args:
            batch: examples of every task.
            assignments: weights by sample, unit and task.
            weights: of the losses; default: each 1 / (samples * tasks), the mean.

        Returns:
            the losses, detached.
        """
        step = self._plan(batch, assignments)
        samples, tasks = step.order.num_samples, step.order.num_tasks
        before = {p: p.grad for p in self.parameters()} if is_distributed() else {}
        for parameter in before:
            parameter.grad = None  # only this step's part is averaged over the processes
        columns: list[Tensor] = []
        try:
            for chunk, plan in step.chunks:
                losses = self._run(batch, chunk, plan)
                if weights is None:
                    total = losses.sum() / (samples * tasks)
                else:
                    part = weights.to(losses)[torch.tensor(chunk.samples)[:, None], chunk.tasks]
                    total = (part * losses).sum()
                torch.autograd.backward(total)
                columns.append(losses.detach())
        except BaseException:
            self._context.discard()
            raise
        self._context.commit()
        if before:
            all_reduce_gradients(before)
        return all_reduce_mean(self._assemble(step, columns))

    def predict(
        self, task: int, inputs: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, "rows outputs"]:
        """Outputs of one task's network under :attr:`assignment`; statistics stay untouched."""
        column = self.assignment.detach().cpu().numpy()
        key = ("predict", task, len(inputs), self.training, inputs.device, column.tobytes())
        if key not in self._steps:
            order = StepOrder(column[None], self.backbone.normalization)
            chunk = Chunk((0,), (task,))
            self._keep(key, _Step(order, ((chunk, self._route(order, chunk, len(inputs), False)),)))
        _, plan = self._steps[key].chunks[0]
        (outputs,) = self._outputs(inputs, plan, gather_statistics=False)
        return outputs.squeeze(1)

    def _run(self, batch: Batch, chunk: Chunk, plan: RoutePlan) -> Tensor:
        """Losses (samples, tasks) of a chunk."""
        roots = [batch.inputs[chunk.tasks[position]] for position in plan.root_tasks]
        if len(roots) == 1:
            rows = roots[0]
        else:
            rows = torch.stack(roots, 0 if plan.group_major else 1).flatten(0, 1)
        scores = self._outputs(rows, plan, gather_statistics=self.training)
        losses = []
        for task, outputs, (groups, which) in zip(chunk.tasks, scores, plan.outputs, strict=True):
            targets = batch.targets[task].repeat_interleave(len(groups), 0)
            each = self.tasks[task].objective.losses(outputs.flatten(0, 1), targets)
            losses.append(each.view(plan.examples, len(groups)).mean(0)[which])
        return torch.stack(losses, 1)

    def _outputs(self, rows: Tensor, plan: RoutePlan, gather_statistics: bool) -> list[Tensor]:
        """Outputs (B, groups, outputs) of every task of a plan, for the task's own groups."""
        images = torch.channels_last if plan.group_major else torch.contiguous_format
        if self._format != images:
            self.to(memory_format=images)
            self._format = images
        if rows.ndim == 4:
            rows = rows.contiguous(memory_format=images)
        with self._context.running(plan, gather_statistics), self.autocast(rows.device):
            found: Tensor = self.skeleton(rows)
        inside = self.backbone.heads_inside
        widths = [self.tasks[task].objective.num_outputs for task in plan.tasks]
        counts = [len(groups) for groups, _ in plan.outputs]
        groups = sum(counts) if inside else plan.num_groups(plan.num_units)
        width = max(task.objective.num_outputs for task in self.tasks)
        expected = plan.examples * groups, width if inside else self.backbone.num_features
        if found.shape != expected:
            raise RouteError(
                f"backbone {self.backbone.name!r} returned {tuple(found.shape)}, "
                f"expected {expected}"
            )
        by_group = RowLayout(plan.examples, groups, plan.group_major).split_first(found).squeeze(2)
        outputs = []
        if inside:
            for part, width in zip(torch.split(by_group, counts, 1), widths, strict=True):
                outputs.append(part[..., :width])
        else:
            for task, (own, _) in zip(plan.tasks, plan.outputs, strict=True):
                with self.autocast(rows.device):
                    outputs.append(self.heads[task](by_group.index_select(1, own)))
        return [y if y.dtype == torch.float64 else y.float() for y in outputs]

    # -- planning ------------------------------------------------------------------------------

    def _plan(self, batch: Batch, assignments: Assignments) -> _Step:
        self._check(batch, assignments)
        sizes = tuple(len(x) for x in batch.inputs)
        weights = assignments.detach().cpu().numpy().astype(np.int64, copy=False)
        device = batch.inputs[0].device
        key = (
            sizes, batch.common_input, device, self.training, self.memory_budget,
            weights.shape, weights.tobytes(),
        )  # fmt: skip
        if key not in self._steps:
            self._keep(key, self._plan_step(weights, sizes, batch.common_input))
        return self._steps[key]

    def _keep(self, key: tuple[object, ...], step: _Step) -> None:
        if len(self._steps) >= _KEPT_PLANS:
            self._steps.pop(next(iter(self._steps)))
        self._steps[key] = step

    def _plan_step(self, weights: Ints, sizes: tuple[int, ...], common_input: bool) -> _Step:
        order = StepOrder(weights, self.backbone.normalization)
        bytes_per_row = None if self.memory_budget is None else self.backbone.activation_bytes
        budget = None if self.memory_budget is None else self.memory_budget * 2**20

        def cost(chunk: Chunk) -> int:
            assert bytes_per_row is not None
            plan = self._route(order, chunk, sizes[chunk.tasks[0]], common_input)
            levels = (plan.num_groups(level) for level in range(plan.num_units + 1))
            return sizes[chunk.tasks[0]] * sum(
                n * size for n, size in zip(levels, bytes_per_row, strict=True)
            )

        pooled = self.backbone.normalization == "pooled" and self.training
        chunks = plan_chunks(
            order.num_samples, sizes, budget, cost, whole_samples=pooled, whole_tasks=common_input
        )
        return _Step(
            order,
            tuple(
                (chunk, self._route(order, chunk, sizes[chunk.tasks[0]], common_input))
                for chunk in chunks
            ),
        )

    def _route(
        self, order: StepOrder, chunk: Chunk, examples: int, common_input: bool
    ) -> RoutePlan:
        mode = self.backbone.normalization
        return RoutePlan(
            order,
            chunk.samples,
            chunk.tasks,
            examples,
            branching=self.branching,
            common_input=common_input,
            # with own running averages a task, tasks see different layers in evaluation
            merge_tasks=self.training or mode != "task",
            # a pooled statistic belongs to one sample
            merge_samples=not (self.training and mode == "pooled"),
            group_major=self._rows_group_major(),
            device=self.assignment.device,
        )

    def _rows_group_major(self) -> bool:
        if self._group_major is None:
            return self.assignment.device.type == "cpu"
        return self._group_major

    def _check(self, batch: Batch, assignments: Assignments) -> None:
        units, tasks = len(self.weights_per_unit), len(self.tasks)
        if tuple(assignments.shape[1:]) != (units, tasks) or not len(assignments):
            raise MtlError(
                f"assignments should have shape (samples >= 1, {units} units, {tasks} tasks), "
                f"found {tuple(assignments.shape)}"
            )
        if len(batch.inputs) != tasks:
            raise MtlError(f"the batch holds {len(batch.inputs)} tasks, the networks {tasks}")
        most = assignments.amax((0, 2)).tolist()
        if int(assignments.min()) < 0:
            raise MtlError(f"assignments should be at least 0, found {int(assignments.min())}")
        for unit, (found, count) in enumerate(zip(most, self.weights_per_unit, strict=True)):
            if found >= count:
                raise MtlError(
                    f"assignments name weight {found} of unit {self.backbone.units[unit].name!r}, "
                    f"which has {count}"
                )
        sizes = {len(x) for x in batch.inputs}
        if len(sizes) > 1 and self.training and self.backbone.normalization == "pooled":
            raise MtlError(
                f"normalization 'pooled' needs one batch size for all tasks, found {sorted(sizes)}"
            )

    def _assemble(self, step: _Step, columns: Sequence[Tensor]) -> Tensor:
        if len(columns) == 1:
            return columns[0]
        losses = columns[0].new_zeros(step.order.num_samples, step.order.num_tasks)
        for (chunk, _), part in zip(step.chunks, columns, strict=True):
            rows = torch.tensor(chunk.samples, device=losses.device)
            tasks = torch.tensor(chunk.tasks, device=losses.device)
            losses = losses.index_put((rows[:, None], tasks[None]), part)
        return losses

    # -- parts ---------------------------------------------------------------------------------

    def bank_parameters(self, unit: int, weight: int) -> list[nn.Parameter]:
        """Parameters of one weight of a unit, over all its places."""
        return [p for bank in self._banks[unit] for p in bank.copies[weight].parameters()]

    def head_parameters(self, task: int) -> list[nn.Parameter]:
        """Parameters of a task's head."""
        return list(self.heads[task].parameters())

    def shared_parameters(self) -> list[nn.Parameter]:
        """Parameters that every task uses: those outside banks and heads."""
        banked = {p for banks in self._banks for bank in banks for p in bank.parameters()}
        return [p for p in self.skeleton.parameters() if p not in banked]

    def scale_gradients_by_usage(self, users: Float[Tensor, "units weights"]) -> None:
        """Divide gradients of the mean loss by users instead of by the number of tasks.

        What the published code of learned weight sharing does (the paper's equation 13 does not): a
        weight's gradient is multiplied by T / users, a head's, which has one user, by T.

        Args:
            users: expected number of tasks that use each weight; 0 leaves its gradient alone.
        """
        tasks = len(self.tasks)
        factors = [(self.head_parameters(task), float(tasks)) for task in range(tasks)]
        for unit, count in enumerate(self.weights_per_unit):
            for weight, number in enumerate(users[unit, :count].tolist()):
                if number > 0:
                    factors.append((self.bank_parameters(unit, weight), tasks / number))
        for parameters, factor in factors:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)

    def initialize(self, scheme: str) -> None:
        """Draw the weights of convolutions and linear layers anew.

        Args:
            scheme: ``"library"`` leaves the model's own initialisation; ``"he_uniform"`` draws from
                U(-b, b) with b = sqrt(6 / fan_in) (He et al. 2015), biases stay.

        Raises:
            MtlError: on another scheme, or if weights are pretrained.
        """
        if scheme == "library":
            return
        if scheme != "he_uniform":
            raise MtlError(f"initialization should be 'library' or 'he_uniform', found {scheme!r}")
        if self.backbone.recipe.pretrained:
            raise MtlError(
                "initialization='he_uniform' would overwrite pretrained weights; use 'library'"
            )
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")

    # -- results -------------------------------------------------------------------------------

    def extract(self, task: int) -> nn.Module:
        """One task's network under :attr:`assignment` as a plain model of the backbone's own class.

        Its outputs equal :meth:`predict` in evaluation mode.
        """
        return extract_plain(
            self.backbone,
            self.skeleton,
            self.heads[task],
            self.assignment[:, task].tolist(),
            task,
        )

    def sharing(self) -> Sharing:
        """Which weight of every unit each task uses under :attr:`assignment`."""
        return Sharing(
            tuple(unit.name for unit in self.backbone.units),
            tuple(task.name for task in self.tasks),
            self.assignment.detach().cpu().clone(),
        )

    def parameter_counts(self) -> ParameterCounts:
        """All parameters, and those reachable under :attr:`assignment`."""
        trained = sum(p.numel() for p in self.parameters())
        used = set(self.shared_parameters())
        for task in range(len(self.tasks)):
            used.update(self.head_parameters(task))
            for unit, weight in enumerate(self.assignment[:, task].tolist()):
                used.update(self.bank_parameters(unit, weight))
        return ParameterCounts(trained, sum(p.numel() for p in used))

    def banks(self) -> Iterator[WeightBank]:
        """All banks, unit by unit, places in execution order."""
        for banks in self._banks:
            yield from banks
