""":class:`TaskNetworks` is one backbone, banks of weights, and a head for every task."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from ..backbones.backbone import Backbone
from ..data.batches import Batch
from ..data.tasks import Task
from ..routing.banks import WeightBank
from ..routing.forward_pass import ForwardPass
from ..routing.layout import stack_groups
from ..routing.micro_batches import MicroBatch
from ..routing.plan import RoutePlan
from .alike import AlikeTasks, by_maps
from .dense import head_bytes, maps_of_tasks, with_auxiliary
from .extraction import extract_plain, insert_plain
from .features import Features, each
from .memory_format import set_format
from .mixers import put_mixers
from .model import ParameterCounts, Sharing
from .parts import NetworkParts, draw_weights
from .paths import PathNetworks
from .planning import Planner, StepPlan
from .repeated_steps import RepeatedSteps
from .rewriting import Prepare, one_each, put_heads, rename_older_keys, rewrite
from .running import ModelRunner, add_gradients, assembled, part_losses
from .task_gradients import accumulate_weighted
from .weighting import GradientWeighting

Assignments = Int[Tensor, "samples units tasks"]


class TaskNetworks(PathNetworks):
    """Task networks are per-task networks over banks of weights.

    Every place of a unit is replaced by a :class:`WeightBank`; the backbone's own ``forward``
    stays as it is. One pass serves all tasks under all sampled assignments: columns (sample, task)
    that agree on their first units share the rows up to there.

    It has more than a dozen public methods, as strategies of any kind hold it in their hands.

    Args:
        backbone: the backbone, which says what is shared and where.
        tasks: the tasks; each gets a linear head, or a decoder where its outputs are maps.
        weights_per_unit: K, for all units or one for each. Copy k of every unit comes from the
            k-th freshly initialised model (all equal where the backbone is pretrained).
        branching: overrides what the backbone's probe found, for tests and measurements.
        checkpoint: whether the activations of units are recomputed in the backward pass.
        group_major: whether rows are group-major in memory; default: on the CPU only, where this
            goes with channels-last images.
        mixers: by unit, modules that mix what it returns, see :class:`ColumnMixer`; the columns of
            an input (a task's, or a common one) are all (sample, task) pairs that read it.
        prepare: a function from a unit's number and K fresh copies of a place to the copies used;
            they may have weights in common, and an :class:`AdaptedLayer` in the place of a layer.

    Attributes:
        model: the backbone's model with banks in the places of its units.
        heads: one head for each task.
        maps: the backbone's maps that each task's head reads; none where it reads features.
        assignment: (units, tasks), the weights in use; on the CPU, wherever the networks are.

    Raises:
        MtlError: if a number of weights is below one or there is not one for each unit; if layers
            have running statistics of an unknown kind; or if columns cannot be mixed, as a unit
            does not return one tensor or rows may not branch.
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
        prepare: Prepare | None = None,
    ) -> None:
        super().__init__(tasks)
        self.weighting: GradientWeighting | None = None  # makes one gradient of the tasks'
        self.repeated: RepeatedSteps | None = None  # replays steps of gradients on a GPU
        self.backbone = backbone
        self.weights_per_unit = one_each(backbone, weights_per_unit)
        self.branching = backbone.branching if branching is None else branching
        forward_pass = ForwardPass()
        self.mixers = nn.ModuleDict({str(unit): mixer for unit, mixer in (mixers or {}).items()})
        self.maps = maps = maps_of_tasks(backbone, self.tasks)
        self.model, banks = rewrite(
            backbone, self.weights_per_unit, forward_pass, maps, checkpoint, prepare
        )
        self.heads = put_heads(backbone, self.model, forward_pass, self.tasks, maps)
        self.register_buffer(
            "assignment", torch.zeros(len(backbone.units), len(self.tasks), dtype=torch.int64)
        )
        self.planner = Planner(
            backbone,
            self.weights_per_unit,
            len(self.tasks),
            self.branching,
            group_major,
            [int(unit) for unit in self.mixers],
            maps,
            lambda: [head_bytes(self.head(n), own) for n, own in enumerate(maps)],
            lambda: self._parts.bytes_per_weight(),
        )
        put_mixers(backbone, banks, self.mixers, self.branching, len(self.tasks))
        self._parts = NetworkParts(backbone, self.weights_per_unit, self.model, banks)
        self.register_load_state_dict_pre_hook(rename_older_keys)  # type: ignore[no-untyped-call]
        widths = [task.objective.num_outputs for task in self.tasks]
        self._runner = ModelRunner(self.model, backbone, forward_pass, widths, maps, self.mixers)
        self._alike = AlikeTasks()
        set_format(self, self._runner.format(self.planner.is_group_major(self.device)))

    def losses(self, batch: Batch, assignments: Assignments) -> Float[Tensor, "samples tasks"]:
        """Return the mean loss of every task under every sampled assignment, differentiable.

        Only labelled examples count. A task without any in the batch is not run: its loss is 0,
        and neither its path nor its head gets a gradient or a running statistic.

        In training mode running statistics move as if samples had been run one after the other,
        task by task. The whole pass is held in memory: see :meth:`accumulate_gradients`.

        Raises:
            MtlError: if batch or assignments do not fit the networks.
        """
        step = self.plan(batch, assignments)
        with self._runner.committing(self.training):
            parts = [self._run(batch, part, plan) for part, plan in step.micro_batches]
        return assembled(step, parts, self.device)

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
            weights: weights of the losses; default: 1 / (samples * tasks) each, for the mean.

        Returns:
            the losses, detached.
        """
        if self.weighting is not None:
            return accumulate_weighted(self, self.weighting, batch, assignments, weights)
        step = self.plan(batch, assignments)
        repeated = self.repeated if self.training else None
        with self._runner.committing(self.training), self.averaged_gradients():
            parts = add_gradients(step, batch, weights, self._run, repeated)
        return self.averaged_losses(batch, assembled(step, parts, self.device))

    def predict(
        self, task: int, inputs: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, "rows *outputs"]:
        """Return outputs of one task's network under :attr:`assignment`; nothing is changed."""
        return self.scores(task, self.features(task, inputs))

    def predict_all(
        self, inputs: Shaped[Tensor, "rows *dims"]
    ) -> list[Float[Tensor, "rows *outputs"]]:
        """Return outputs of all tasks' networks for common inputs; tasks that agree run once.

        Tasks agree that are on one path, with equal running averages there.
        """
        if self.backbone.heads_inside or self.mixers or self.training:
            return super().predict_all(inputs)
        outputs: dict[int, Tensor] = {}
        for alike in self._alike.groups(self.model, self.assignment):
            for tasks in by_maps(alike, self.maps):
                features = self.features(tasks[0], inputs)
                outputs |= {task: self.scores(task, features) for task in tasks}
        return [outputs[task] for task in range(len(self.tasks))]

    def features(self, task: int, inputs: Shaped[Tensor, "rows *dims"]) -> Features:
        """Compute what one task's head reads under :attr:`assignment`; statistics stay untouched.

        They are scores already where heads stay inside the model (``backbone.heads_inside``), and
        several maps where the task's outputs are maps.
        """
        under = self.features_under(self.assignment[None], task, inputs)
        return each(lambda x: x.squeeze(1), under)

    def features_under(
        self,
        assignments: Assignments,
        task: int,
        inputs: Shaped[Tensor, "rows *dims"],
        common_input: bool = False,
    ) -> Features:
        """Compute what one task's head reads under several assignments; see :meth:`features`.

        In the result samples are the second dimension.

        Args:
            assignments: weights by sample, unit and task.
            task: position of the task.
            inputs: inputs of the task.
            common_input: run the columns of all tasks on the inputs, for mixers that need them.
        """
        tasks = range(len(self.tasks)) if common_input else (task,)
        how = self.training, inputs.device, self.batched_weights
        plan = self.planner.prediction(tasks, assignments.cpu().numpy(), len(inputs), *how)
        rows = stack_groups([inputs] * plan.num_groups(0), plan.group_major)
        position = tuple(tasks).index(task)
        by_task = self._runner.features(rows, plan, False, self.autocast(rows.device))
        return by_task[position].by_sample()

    def scores(self, task: int, features: Features) -> Float[Tensor, "rows *outputs"]:
        """Return the outputs of :meth:`head` for a task's features, in full precision."""
        head = nn.Identity() if self.backbone.heads_inside else self.head(task)
        return self.in_full_precision(head, features)

    def row_losses(
        self, task: int, features: Features, targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Return every row's training loss, from its features; a subclass may define another."""
        objective, run = self.tasks[task].objective, self.in_full_precision
        losses = objective.losses(self.scores(task, features), targets)
        return with_auxiliary(losses, self.head(task), features, targets, objective, run)

    @torch.no_grad()
    def update_statistics(self, batch: Batch) -> None:
        """Let the running statistics of the path of every task see a batch."""
        self.losses(batch, self.assignment[None])

    def train(self, mode: bool = True) -> "TaskNetworks":
        """Set training or evaluation mode, as in torch; quick, as strategies switch every step."""
        modules = list(self.modules())
        if any(type(module).train is not nn.Module.train for module in modules[1:]):
            return super().train(mode)
        for module in modules:
            module.__dict__["training"] = mode
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "TaskNetworks":
        """Move everything, as ``to``, ``cuda`` and ``double`` ask, and set the memory format."""
        super()._apply(fn, recurse)
        set_format(self, self._runner.format(self.planner.is_group_major(self.device)))
        return self

    def plan(self, batch: Batch, assignments: Assignments, apart: bool = False) -> StepPlan:
        """Plan a step in the present mode; ``apart``: no two columns share rows."""
        how = self.training, self.memory_budget, apart, self.batched_weights
        return self.planner.step(batch, assignments.cpu().long().numpy(), *how)

    def _run(self, batch: Batch, micro_batch: MicroBatch, plan: RoutePlan) -> Tensor:
        """Compute the losses (samples, tasks) of a micro-batch."""
        roots = [batch.inputs[micro_batch.tasks[position]] for position in plan.root_tasks]
        rows = stack_groups(roots, plan.group_major)
        by_task = self._runner.features(rows, plan, self.training, self.autocast(rows.device))
        return part_losses(batch, micro_batch, by_task, self.row_losses, self._keep)

    @property
    def computes_alike(self) -> bool:
        """Say whether tensors alone decide a step's losses: no subclass computes its own."""
        own = "_run", "_keep", "row_losses", "scores", "head"
        return all(getattr(type(self), name) is getattr(TaskNetworks, name) for name in own)

    def head(self, task: int) -> nn.Module:
        """Return the head that a task predicts and is extracted with; a subclass may choose."""
        return self.heads[task]

    def banks(self) -> Iterator[WeightBank]:
        """Return all banks, unit by unit, places in execution order."""
        for banks in self._parts.banks:
            yield from banks

    def bank_parameters(self, unit: int, weight: int) -> list[nn.Parameter]:
        """Return the parameters of one weight of a unit, over all its places."""
        return self._parts.of_bank(unit, weight)

    def head_parameters(self, task: int) -> list[nn.Parameter]:
        """Return the parameters of a task's head."""
        return list(self.heads[task].parameters())

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that every task uses: those outside banks and heads."""
        return self._parts.shared()

    def scale_gradients_by_usage(self, users: Float[Tensor, "units weights"]) -> None:
        """Divide gradients of the mean loss by users, as the published code of LWS does.

        A weight's gradient is multiplied by T / users, a head's, which has one user, by T.

        Args:
            users: expected number of tasks that use each weight; 0 leaves its gradient alone.
        """
        self._parts.scale_gradients(users, list(self.heads))

    def initialize(self, scheme: str) -> None:
        """Draw the weights of convolutions and linear layers anew, see :func:`draw_weights`."""
        draw_weights(self, scheme, self.backbone)

    def parameter_counts(self) -> ParameterCounts:
        """Count all parameters, and those that :attr:`assignment` needs."""
        trained = sum(p.numel() for p in self.parameters())
        heads = [self.head(task) for task in range(len(self.tasks))]
        return self._parts.count(trained, self.assignment, heads)

    def extract(self, task: int) -> nn.Module:
        """Return one task's network under :attr:`assignment`, of the backbone's own class.

        Its outputs equal :meth:`predict` in evaluation mode.
        """
        return self.extract_path(task, self.assignment[:, task].tolist())

    def extract_path(self, task: int, weights: Sequence[int]) -> nn.Module:
        """Extract like :meth:`extract`, with any weights, one a unit."""
        head = self.head(task)
        return extract_plain(self.backbone, self.model, head, weights, task, self.maps[task])

    def load_path(
        self, task: int, weights: Sequence[int], state: Mapping[str, Tensor], head: bool = True
    ) -> None:
        """Take over a plain model's state, the reverse of :meth:`extract_path`.

        What lies outside the banks is overwritten, too. Where tasks have running averages of their
        own, those in the banks are set for all tasks.

        Args:
            task: the task that gets the head and the running averages outside the banks.
            weights: for each unit the weight that the state goes to.
            state: the state of a plain model.
            head: whether the task's head takes over its class layers.

        Raises:
            MtlError: naming the first tensor that is missing or has another shape; nothing has
                changed then.
        """
        own, count = self.head(task) if head else None, len(self.tasks)
        insert_plain(self.backbone, self.model, own, weights, state, task, count)

    def sharing(self) -> Sharing | None:
        """Say which weight of every unit each task uses under :attr:`assignment`."""
        return Sharing(
            tuple(unit.name for unit in self.backbone.units),
            tuple(task.name for task in self.tasks),
            self.assignment.detach().clone(),
        )
