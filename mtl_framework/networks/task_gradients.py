"""Gradients of every task on its own, from the one pass that serves all tasks."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..data.batches import Batch
from ..support.distributed import is_distributed
from ..support.errors import MtlError
from .running import assembled
from .weighting import GradientWeighting

if TYPE_CHECKING:
    from .task_networks import TaskNetworks


def task_gradients(
    network: "TaskNetworks",
    batch: Batch,
    assignments: Int[Tensor, "samples units tasks"],
    weights: Float[Tensor, "samples tasks"] | None = None,
) -> tuple[list[dict[nn.Parameter, Tensor]], Float[Tensor, "samples tasks"]]:
    """Gradients of every task's loss, by the weights that its paths use, and the losses.

    Args:
        network: its parameters' own gradients stay as they are.
        batch: examples of every task; one without a label in it has no gradient.
        assignments: weights by sample, unit and task.
        weights: weights of the losses, as of ``accumulate_gradients``; default: all alike. A task's
            loss is the sum over samples of its losses times their weights times the number of
            tasks: its mean over samples by default.

    Raises:
        MtlError: if columns are mixed, so that tasks use each other's weights, or there are several
            processes.
    """
    if network.mixers:
        raise MtlError("training.weighting needs networks without mixers: leave it out")
    if is_distributed():
        raise MtlError("training.weighting works in one process only: leave it out")
    step = network.plan(batch, assignments)
    samples, tasks = step.order.num_samples, step.order.num_tasks
    used = [_used(network, assignments, task) for task in range(tasks)]
    gradients: list[dict[nn.Parameter, Tensor]] = [{} for _ in range(tasks)]
    factors = torch.full((samples, tasks), 1 / samples) if weights is None else weights * tasks
    columns: list[Tensor] = []
    with network._runner.committing(network.training):
        for micro_batch, plan in step.micro_batches:
            losses = network._run(batch, micro_batch, plan)
            part = factors.to(losses)[torch.tensor(micro_batch.samples)[:, None], micro_batch.tasks]
            totals = (part * losses).sum(0)
            for position, task in enumerate(micro_batch.tasks):
                last = position == len(micro_batch.tasks) - 1
                if batch.select(task).is_empty:
                    continue
                own = torch.autograd.grad(
                    totals[position], used[task], retain_graph=not last, allow_unused=True
                )
                for parameter, gradient in zip(used[task], own, strict=True):
                    if gradient is not None:
                        before = gradients[task].get(parameter)
                        gradients[task][parameter] = (
                            gradient if before is None else before + gradient
                        )
            columns.append(losses.detach())
    return gradients, assembled(step, columns, network.assignment.device)


def accumulate_weighted(
    network: "TaskNetworks",
    weighting: GradientWeighting,
    batch: Batch,
    assignments: Int[Tensor, "samples units tasks"],
    weights: Float[Tensor, "samples tasks"] | None = None,
) -> Float[Tensor, "samples tasks"]:
    """Add to every weight's gradient what a weighting makes of those of the tasks that use it."""
    gradients, losses = task_gradients(network, batch, assignments, weights)
    for parameter, gradient in weighting.combine(gradients, losses.mean(0)).items():
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
    return losses


def _used(network: "TaskNetworks", assignments: Tensor, task: int) -> list[nn.Parameter]:
    """Weights on a task's paths: autograd gives zeros, not nothing, to others in the same pass."""
    parameters = dict.fromkeys([*network.shared_parameters(), *network.head_parameters(task)])
    for unit, numbers in enumerate(assignments[:, :, task].T):
        for weight in sorted(set(numbers.tolist())):
            parameters |= dict.fromkeys(network.bank_parameters(unit, weight))
    return [parameter for parameter in parameters if parameter.requires_grad]
