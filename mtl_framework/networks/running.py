"""A rewritten model is run under a plan, and its results are sorted by task."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from ..backbones.backbone import Backbone
from ..backbones.maps import FeatureMap, forward_maps
from ..data.batches import Batch
from ..routing.commit import commit_statistics
from ..routing.forward_pass import ForwardPass
from ..routing.layout import RowLayout, split_groups
from ..routing.micro_batches import MicroBatch
from ..routing.norms import RoutedBatchNorm
from ..routing.plan import RouteError, RoutePlan
from .features import Features, TaskRows
from .memory_format import image_format
from .planning import StepPlan
from .repeated_steps import RepeatedSteps, Shares


class ModelRunner:
    """It runs a rewritten model, and commits the statistics that its norms gather.

    Args:
        model: the model, with banks in the places of its units.
        backbone: the backbone of the model.
        forward_pass: the pass that the model's parts take part in.
        widths: number of outputs of each task.
        maps: the maps that each task's head reads; none where it reads features.
        mixers: modules outside the model whose norms gather statistics, too.
    """

    def __init__(
        self,
        model: nn.Module,
        backbone: Backbone,
        forward_pass: ForwardPass,
        widths: Sequence[int],
        maps: Sequence[tuple[FeatureMap, ...]],
        mixers: nn.Module,
    ) -> None:
        # a tuple, and a plain object: they are parts of the networks already
        self._model, self._backbone, self._widths = (model,), backbone, tuple(widths)
        self._forward_pass, self._maps = forward_pass, tuple(maps)
        self._formats = {major: image_format(model, major) for major in (False, True)}
        modules = (*model.modules(), *mixers.modules())
        self._norms = tuple(m for m in modules if isinstance(m, RoutedBatchNorm))

    def format(self, group_major: bool) -> torch.memory_format:
        """Return the memory format of images and convolutions, by the order of rows."""
        return self._formats[group_major]

    @contextmanager
    def committing(self, training: bool) -> Iterator[None]:
        """Let what norms gather inside the block move their running averages, unless it fails."""
        try:
            yield
        except BaseException:
            for norm in self._norms:
                norm.forget_gathered()
            raise
        if training:
            commit_statistics(self._norms)

    def features(
        self,
        rows: Shaped[Tensor, "rows ..."],
        plan: RoutePlan,
        gather_statistics: bool,
        precision: AbstractContextManager[object],
    ) -> list[TaskRows]:
        """Compute what heads read, for every task of a plan the rows of its own paths."""
        if rows.ndim == 4:
            rows = rows.contiguous(memory_format=self.format(plan.group_major))
        tasks: list[int] = plan.tasks.tolist()
        wanted = tuple(dict.fromkeys(each for task in tasks for each in self._maps[task]))
        # what dense tasks do not need moves running averages all the same, however a step is cut
        counted = range(len(self._maps)) if gather_statistics else tasks
        some_features = not all(self._maps[task] for task in counted)
        returned: Tensor | None
        with self._forward_pass.running(plan, gather_statistics), precision:
            if wanted:
                returned, maps = forward_maps(self._model[0], rows, wanted, some_features)
            else:
                returned, maps = self._model[0](rows), []
        own = self._own_maps(plan, dict(zip(wanted, maps, strict=True)))
        if returned is not None and len(own) < len(tasks):
            return [own.get(n) or x for n, x in enumerate(self._own_features(plan, returned))]
        return [own[number] for number in range(len(tasks))]

    def _own_features(self, plan: RoutePlan, returned: Tensor) -> list[TaskRows]:
        """Return the model's output, or the groups of it that are each task's own paths."""
        backbone, inside = self._backbone, self._backbone.heads_inside
        counts = [len(groups) for groups, _ in plan.outputs]
        groups = sum(counts) if inside else plan.num_groups(plan.num_units)
        width = max(self._widths) if inside else backbone.num_features
        expected = plan.examples * groups, width
        if returned.shape != expected:
            raise RouteError(
                f"backbone {backbone.name!r} returned {tuple(returned.shape)}, expected {expected}"
            )
        layout = RowLayout(plan.examples, groups, plan.group_major)
        by_group = layout.split_first(returned).squeeze(2)
        if inside:
            parts = zip(plan.tasks, torch.split(by_group, counts, 1), strict=True)
            each = [part[..., : self._widths[task]] for task, part in parts]
        else:
            each = [by_group.index_select(1, own) for own, _ in plan.outputs]
        return [
            TaskRows(x.flatten(0, 1), plan.examples, which)
            for x, (_, which) in zip(each, plan.outputs, strict=True)
        ]

    def _own_maps(
        self, plan: RoutePlan, maps: Mapping[FeatureMap, Float[Tensor, "_ _ _ _"]]
    ) -> dict[int, TaskRows]:
        """Return, by task that reads maps, the groups of its own paths at every level."""
        levels = tuple(each.level for each in maps)
        rows: dict[int, TaskRows] = {}
        for position, task in enumerate(plan.tasks.tolist()):
            if not self._maps[task]:
                continue
            own, which = plan.outputs_at(levels)[position]
            taken = []
            for (each, x), groups in zip(maps.items(), own, strict=True):
                layout = RowLayout(plan.examples, plan.num_groups(each.level), plan.group_major)
                if len(x) != plan.examples * layout.groups:
                    raise RouteError(
                        f"map {each.index} of backbone {self._backbone.name!r} has {len(x)} rows, "
                        f"its paths have {plan.examples * layout.groups}"
                    )
                one = layout.groups == len(groups) == 1
                taken.append(x if one else split_groups(x, [groups], layout)[0])
            rows[position] = TaskRows(tuple(taken), plan.examples, which, plan.group_major)
        return rows


def add_gradients(
    step: StepPlan,
    batch: Batch,
    weights: Float[Tensor, "samples tasks"] | None,
    run: Callable[[Batch, MicroBatch, RoutePlan], Float[Tensor, "_ _"]],
    repeated: RepeatedSteps | None = None,
) -> list[Float[Tensor, "_ _"]]:
    """Add the gradients of a step's weighted losses, and return its losses, a micro-batch each.

    Args:
        step: the plan of the step.
        batch: the batch, on the device.
        weights: weights of the losses; ``None``: 1 / (samples * tasks) each.
        run: computes the losses of a micro-batch.
        repeated: replays the step where it has been recorded; ``None``: it is computed.
    """
    device, number = batch.inputs[0].device, step.order.num_samples * step.order.num_tasks
    shares = None
    if weights is not None:
        shares = [
            weights[torch.tensor(part.samples)[:, None], part.tasks].to(device, non_blocking=True)
            for part, _ in step.micro_batches
        ]

    def compute(batch: Batch, shares: Shares) -> list[Tensor]:
        parts = []
        for position, (part, plan) in enumerate(step.micro_batches):
            losses = run(batch, part, plan)
            if shares is None:
                total = losses.sum() / number
            else:
                total = (shares[position].to(losses) * losses).sum()
            torch.autograd.backward(total)
            parts.append(losses.detach())
        return parts

    if repeated is None:
        return compute(batch, shares)
    return repeated.run(step, batch, shares, compute)


def assembled(
    step: StepPlan, parts: Sequence[Float[Tensor, "_ _"]], device: torch.device
) -> Float[Tensor, "samples tasks"]:
    """Assemble the losses of all micro-batches; 0 for tasks that had no labelled example.

    Each part has a row for each sample and a column for each task of its micro-batch.
    """
    samples, tasks = step.order.num_samples, step.order.num_tasks
    if len(parts) == 1 and parts[0].shape[1] == tasks:
        return parts[0]
    if not parts:
        return torch.zeros(samples, tasks, device=device)
    losses = parts[0].new_zeros(samples, tasks)
    for (micro_batch, _), part in zip(step.micro_batches, parts, strict=True):
        rows = torch.tensor(micro_batch.samples, device=losses.device)
        columns = torch.tensor(micro_batch.tasks, device=losses.device)
        losses = losses.index_put((rows[:, None], columns[None]), part)
    return losses


def part_losses(
    batch: Batch,
    micro_batch: MicroBatch,
    by_task: Sequence[TaskRows],
    row_losses: Callable[[int, Features, Tensor], Tensor],
    keep: Callable[[int, TaskRows, Tensor], None],
) -> Float[Tensor, "samples tasks"]:
    """Return mean losses of the labelled rows of a micro-batch, by sample and task.

    Args:
        batch: the batch of the step.
        micro_batch: the part of it that has run.
        by_task: what the head of each task of the micro-batch reads.
        row_losses: returns the loss of each row from a task, its features and targets.
        keep: gets a task, its labelled rows and their losses.
    """
    losses = []
    for task, given in zip(micro_batch.tasks, by_task, strict=True):
        rows, targets = given.labelled(batch.select(task), batch.targets[task])
        if not rows.examples:  # others read this task's columns
            losses.append(rows.like().new_zeros(len(rows.which)))
            continue
        of_rows = row_losses(task, rows.features, targets)
        keep(task, rows, of_rows)
        losses.append(rows.by_example(of_rows).mean(0)[rows.which])
    return torch.stack(losses, 1)
