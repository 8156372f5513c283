"""TaskNetworks: one backbone, banks of weights, a head for every task."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from ..backbones.backbone import Backbone
from ..data.batches import Batch
from ..data.tasks import Task
from ..routing.commit import commit_statistics
from ..routing.context import RoutingContext
from ..routing.layout import RowLayout, stack_groups
from ..routing.micro_batches import Chunk
from ..routing.norms import RoutedBatchNorm
from ..routing.plan import RouteError, RoutePlan
from ..support.errors import MtlError
from .alike import AlikeTasks
from .extraction import extract_plain, insert_plain
from .memory_format import image_format
from .model import Sharing
from .parts import NetworkParts
from .planning import Planner, StepPlan
from .rewriting import put_heads, put_mixers, rewrite

Assignments = Int[Tensor, "samples units tasks"]


class TaskNetworks(NetworkParts):
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
        mixers: by unit, modules that mix what the unit returns: from (inputs, columns, examples,
            ...) to the same shape. Inputs are those of every task, or a single one where it is
            common; the columns of an input are all (sample, task) pairs that read it, sample by
            sample. Needs a backbone whose rows may branch, and units that return one tensor.

    Raises:
        MtlError: if a number of weights is below one or there is not one for each unit; if the
            backbone has layers with running statistics of an unknown kind, or cannot be mixed
            where ``mixers`` ask for it.
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
        mixers: Mapping[int, nn.Module] | None = None,
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
        self._context = RoutingContext()
        self.mixers = nn.ModuleDict({str(unit): mixer for unit, mixer in (mixers or {}).items()})
        self.skeleton, self._banks = rewrite(
            backbone, self.weights_per_unit, self._context, len(self.tasks), checkpoint
        )
        self._formats = {major: image_format(self.skeleton, major) for major in (False, True)}
        widths = [task.objective.num_outputs for task in self.tasks]
        self.heads = put_heads(backbone, self.skeleton, self._context, widths)
        self.assignment: Tensor
        self.register_buffer("assignment", torch.zeros(units, len(self.tasks), dtype=torch.int64))
        self.planner = Planner(
            backbone,
            self.weights_per_unit,
            len(self.tasks),
            self.branching,
            group_major,
            [int(unit) for unit in self.mixers],
        )
        if self.mixers and not self.branching:
            raise MtlError(
                f"backbone {backbone.name!r} reads tensors of a unit again behind a later one, so "
                "the columns of its units cannot be mixed"
            )
        put_mixers(backbone, self._banks, self.mixers)
        # a tuple: they are parts of the model already
        self._norms = tuple(m for m in self.skeleton.modules() if isinstance(m, RoutedBatchNorm))
        self._alike = AlikeTasks()
        self._set_memory_format()

    # -- running -------------------------------------------------------------------------------

    def losses(self, batch: Batch, assignments: Assignments) -> Float[Tensor, "samples tasks"]:
        """Mean loss of every task's examples under every sampled assignment, differentiable.

        Only labelled examples count. A task without any in the batch is not run: its loss is 0,
        and neither its path nor its head gets a gradient or a running statistic.

        In training mode running statistics move as if samples had been run one after the other,
        task by task. The whole pass is held in memory: see :meth:`accumulate_gradients`.

        Raises:
            MtlError: if batch or assignments do not fit the networks.
        """
        step = self.plan(batch, assignments)
        with self._committed_statistics():
            columns = [self._run(batch, chunk, plan) for chunk, plan in step.chunks]
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
        step = self.plan(batch, assignments)
        samples, tasks = step.order.num_samples, step.order.num_tasks
        columns: list[Tensor] = []
        with self._committed_statistics(), self.averaged_gradients():
            for chunk, plan in step.chunks:
                losses = self._run(batch, chunk, plan)
                if weights is None:
                    total = losses.sum() / (samples * tasks)
                else:
                    part = weights.to(losses)[torch.tensor(chunk.samples)[:, None], chunk.tasks]
                    total = (part * losses).sum()
                torch.autograd.backward(total)
                columns.append(losses.detach())
        return self.averaged_losses(batch, self._assemble(step, columns))

    def predict(
        self, task: int, inputs: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, "rows outputs"]:
        """Outputs of one task's network under :attr:`assignment`; statistics stay untouched."""
        return self.scores(task, self.features(task, inputs))

    def predict_all(
        self, inputs: Shaped[Tensor, "rows *dims"]
    ) -> list[Float[Tensor, "rows *outputs"]]:
        """Outputs of every task's network for common inputs; tasks that compute the same run once.

        Those are tasks on one path whose running averages there are equal.
        """
        if self.backbone.heads_inside or self.mixers or self.training:
            return super().predict_all(inputs)
        outputs: dict[int, Tensor] = {}
        for tasks in self._alike.groups(self.skeleton, self.assignment):
            features = self.features(tasks[0], inputs)
            outputs |= {task: self.scores(task, features) for task in tasks}
        return [outputs[task] for task in range(len(self.tasks))]

    def features(
        self, task: int, inputs: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, "rows *features"]:
        """What one task's head reads under :attr:`assignment`; statistics stay untouched.

        Scores already where heads stay inside the model (``backbone.heads_inside``).
        """
        return self.features_under(self.assignment[None], task, inputs).squeeze(1)

    def features_under(
        self,
        assignments: Assignments,
        task: int,
        inputs: Shaped[Tensor, "rows *dims"],
        common_input: bool = False,
    ) -> Float[Tensor, "rows samples *features"]:
        """What one task's head reads under each of several assignments, see :meth:`features`.

        Args:
            assignments: weights by sample, unit and task.
            task: its position.
            inputs: of the task.
            common_input: run the columns of all tasks on the inputs, for mixers that need them.
        """
        tasks = range(len(self.tasks)) if common_input else (task,)
        weights = assignments.detach().cpu().numpy()
        plan = self.planner.prediction(tasks, weights, len(inputs), self.training, inputs.device)
        rows = stack_groups([inputs] * plan.num_groups(0), plan.group_major)
        position = tuple(tasks).index(task)
        found = self._features(rows, plan, gather_statistics=False)[position]
        return found.index_select(1, plan.outputs[position][1])

    def scores(
        self, task: int, features: Float[Tensor, "rows *features"]
    ) -> Float[Tensor, "rows *outputs"]:
        """Outputs of :meth:`head` for a task's features, in full precision."""
        head = nn.Identity() if self.backbone.heads_inside else self.head(task)
        return self.in_full_precision(head, features)

    def row_losses(
        self,
        task: int,
        features: Float[Tensor, "rows *features"],
        targets: Shaped[Tensor, "rows *dims"],
    ) -> Float[Tensor, " rows"]:
        """Training loss of every row, from its features; a subclass may define another one."""
        return self.tasks[task].objective.losses(self.scores(task, features), targets)

    @torch.no_grad()
    def update_statistics(self, batch: Batch) -> None:
        """Let the running statistics of the path of every task see a batch."""
        self.losses(batch, self.assignment.cpu()[None])

    def train(self, mode: bool = True) -> "TaskNetworks":
        """Training or evaluation mode, as in torch; quick, as strategies switch every step."""
        modules = list(self.modules())
        if any(type(module).train is not nn.Module.train for module in modules[1:]):
            return super().train(mode)
        for module in modules:
            module.__dict__["training"] = mode
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "TaskNetworks":
        """What ``to``, ``cuda`` and ``double`` go through."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._set_memory_format()
        return self

    @torch.no_grad()
    def _set_memory_format(self) -> None:
        """Let convolutions lie in memory as rows do, see ``group_major``; nothing else sets it."""
        major = self.planner.is_group_major(self.assignment.device)
        for tensor in self.parameters():
            if tensor.ndim == 4:
                tensor.data = tensor.data.contiguous(memory_format=self._formats[major])

    def plan(self, batch: Batch, assignments: Assignments) -> StepPlan:
        """What a step with this batch and these assignments will do in the present mode."""
        weights = assignments.detach().cpu().numpy().astype(np.int64, copy=False)
        return self.planner.step(batch, weights, self.training, self.memory_budget)

    @contextmanager
    def _committed_statistics(self) -> Iterator[None]:
        """What norms gather inside moves their running averages afterwards, unless it fails."""
        try:
            yield
        except BaseException:
            for norm in self._norms:
                norm.forget_gathered()
            raise
        if self.training:
            commit_statistics(self._norms)

    def _run(self, batch: Batch, chunk: Chunk, plan: RoutePlan) -> Tensor:
        """Losses (samples, tasks) of a chunk."""
        roots = [batch.inputs[chunk.tasks[position]] for position in plan.root_tasks]
        rows = stack_groups(roots, plan.group_major)
        found = self._features(rows, plan, gather_statistics=self.training)
        losses = []
        for task, features, (groups, which) in zip(chunk.tasks, found, plan.outputs, strict=True):
            features, targets = batch.select(task).of(features, batch.targets[task])
            if not len(features):  # others read this task's columns
                losses.append(features.new_zeros(len(which)))
                continue
            targets = targets.repeat_interleave(len(groups), 0)
            each = self.row_losses(task, features.flatten(0, 1), targets)
            losses.append(each.view(len(features), len(groups)).mean(0)[which])
        return torch.stack(losses, 1)

    def _features(self, rows: Tensor, plan: RoutePlan, gather_statistics: bool) -> list[Tensor]:
        """What heads read (B, groups, ...), for every task of a plan and the task's own groups."""
        if rows.ndim == 4:
            rows = rows.contiguous(memory_format=self._formats[plan.group_major])
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
        if inside:
            parts = torch.split(by_group, counts, 1)
            return [part[..., :width] for part, width in zip(parts, widths, strict=True)]
        return [by_group.index_select(1, own) for own, _ in plan.outputs]

    def _assemble(self, step: StepPlan, columns: Sequence[Tensor]) -> Tensor:
        """Losses (samples, tasks) of all parts; 0 for tasks that had no labelled example."""
        samples, tasks = step.order.num_samples, step.order.num_tasks
        if len(columns) == 1 and columns[0].shape[1] == tasks:
            return columns[0]
        if not columns:
            return torch.zeros(samples, tasks, device=self.assignment.device)
        losses = columns[0].new_zeros(samples, tasks)
        for (chunk, _), part in zip(step.chunks, columns, strict=True):
            rows = torch.tensor(chunk.samples, device=losses.device)
            tasks_here = torch.tensor(chunk.tasks, device=losses.device)
            losses = losses.index_put((rows[:, None], tasks_here[None]), part)
        return losses

    # -- results -------------------------------------------------------------------------------

    def extract(self, task: int) -> nn.Module:
        """One task's network under :attr:`assignment` as a plain model of the backbone's own class.

        Its outputs equal :meth:`predict` in evaluation mode.
        """
        return self.extract_path(task, self.assignment[:, task].tolist())

    def extract_path(self, task: int, weights: Sequence[int]) -> nn.Module:
        """Like :meth:`extract`, with any weights, one a unit."""
        return extract_plain(self.backbone, self.skeleton, self.head(task), weights, task)

    def load_path(
        self, task: int, weights: Sequence[int], state: Mapping[str, Tensor], head: bool = True
    ) -> None:
        """The reverse of :meth:`extract_path`: take over a plain model's state.

        What lies outside the banks is overwritten, too. Where tasks have running averages of their
        own, those in the banks are set for all tasks.

        Args:
            task: whose head and running averages outside the banks it has.
            weights: where the state goes, one weight a unit.
            state: of a plain model.
            head: whether to take its class layers.

        Raises:
            MtlError: naming the first tensor that is missing or has another shape; nothing has
                changed then.
        """
        insert_plain(
            self.backbone,
            self.skeleton,
            self.head(task) if head else None,
            weights,
            state,
            task,
            len(self.tasks),
        )

    def sharing(self) -> Sharing | None:
        """Which weight of every unit each task uses under :attr:`assignment`."""
        return Sharing(
            tuple(unit.name for unit in self.backbone.units),
            tuple(task.name for task in self.tasks),
            self.assignment.detach().cpu().clone(),
        )
