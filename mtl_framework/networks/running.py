"""Running a rewritten model under a plan, and what becomes of its results."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from ..backbones.backbone import Backbone
from ..data.batches import Batch
from ..routing.commit import commit_statistics
from ..routing.forward_pass import ForwardPass
from ..routing.layout import RowLayout
from ..routing.micro_batches import MicroBatch
from ..routing.norms import RoutedBatchNorm
from ..routing.plan import RouteError, RoutePlan
from .memory_format import image_format
from .planning import StepPlan


class ModelRunner:
    """Runs a rewritten model, and commits the statistics that its norms gather.

    Args:
        model: with banks in the places of its units.
        backbone: backbone of the model.
        forward_pass: the pass that the model's parts take part in.
        widths: number of outputs of each task.
    """

    def __init__(
        self,
        model: nn.Module,
        backbone: Backbone,
        forward_pass: ForwardPass,
        widths: Sequence[int],
    ) -> None:
        # a tuple, and a plain object: they are parts of the networks already
        self._model, self._backbone, self._widths = (model,), backbone, tuple(widths)
        self._forward_pass = forward_pass
        self._formats = {major: image_format(model, major) for major in (False, True)}
        self._norms = tuple(m for m in model.modules() if isinstance(m, RoutedBatchNorm))

    def format(self, group_major: bool) -> torch.memory_format:
        """The memory format of images and convolutions, by the order of rows."""
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
    ) -> list[Float[Tensor, "examples groups ..."]]:
        """Compute what heads read, for every task of a plan and the task's own groups."""
        if rows.ndim == 4:
            rows = rows.contiguous(memory_format=self.format(plan.group_major))
        with self._forward_pass.running(plan, gather_statistics), precision:
            returned: Tensor = self._model[0](rows)
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
            return [part[..., : self._widths[task]] for task, part in parts]
        return [by_group.index_select(1, own) for own, _ in plan.outputs]


def assembled(
    step: StepPlan, parts: Sequence[Float[Tensor, "_ _"]], device: torch.device
) -> Float[Tensor, "samples tasks"]:
    """Losses of all micro-batches; 0 for tasks that had no labelled example.

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
    plan: RoutePlan,
    by_task: Sequence[Tensor],
    row_losses: Callable[[int, Tensor, Tensor], Tensor],
) -> Float[Tensor, "samples tasks"]:
    """Mean losses of the labelled rows of a micro-batch, by sample and task.

    Args:
        batch: batch of the step.
        micro_batch: the part of it that has run.
        plan: the plan that it has run under.
        by_task: what heads read (examples, groups, ...) for each task of the micro-batch.
        row_losses: gives the loss of each row from a task, features and targets.
    """
    losses = []
    for task, features, (groups, which) in zip(
        micro_batch.tasks, by_task, plan.outputs, strict=True
    ):
        features, targets = batch.select(task).of(features, batch.targets[task])
        if not len(features):  # others read this task's columns
            losses.append(features.new_zeros(len(which)))
            continue
        # rows are (example, group) pairs, example by example; ``which`` is by sample
        targets = targets.repeat_interleave(len(groups), 0)
        each = row_losses(task, features.flatten(0, 1), targets)
        losses.append(each.view(len(features), len(groups)).mean(0)[which])
    return torch.stack(losses, 1)
