"""Gradients of each task on its own come from the one pass that serves all tasks."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..data.batches import Batch
from ..support.distributed import all_reduce_max, all_reduce_present, is_distributed
from ..support.errors import MtlError
from .paths import PathNetworks
from .running import assembled
from .weighting import GradientWeighting


def task_gradients(
    network: PathNetworks,
    batch: Batch,
    assignments: Int[Tensor, "samples units tasks"],
    weights: Float[Tensor, "samples tasks"] | None = None,
) -> tuple[list[dict[nn.Parameter, Tensor]], Float[Tensor, "samples tasks"]]:
    """Return gradients of every task's loss, by the weights that its paths use, and the losses.

    Args:
        network: the networks, whose parameters' own gradients stay as they are.
        batch: examples of every task; one without a label in it has no gradient.
        assignments: weights by sample, unit and task.
        weights: weights of the losses, as ``accumulate_gradients`` takes them; default: all alike.
            A task's loss is the sum over samples of its losses times their weights times the number
            of tasks, which by default is the mean over samples.

    Raises:
        MtlError: if columns are mixed, so that tasks use each other's weights.

    With several processes gradients and losses are those averaged over the processes that have
    labels of a task.
    """
    if network.mixers:
        raise MtlError("training.weighting needs networks without mixers: leave it out")
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
    losses = assembled(step, columns, network.device)
    return reduced(gradients, used), network.averaged_losses(batch, losses)


def reduced(
    gradients: list[dict[nn.Parameter, Tensor]], used: Sequence[Sequence[nn.Parameter]]
) -> list[dict[nn.Parameter, Tensor]]:
    """Average every task's gradients over the processes that have one.

    Args:
        gradients: gradients of this process, by task and parameter.
        used: for every task the parameters on its paths, in the same order in every process.
    """
    if not is_distributed():
        return gradients
    averaged = []
    for own, parameters in zip(gradients, used, strict=True):
        like = [parameter.detach() for parameter in parameters]
        means = all_reduce_present([own.get(parameter) for parameter in parameters], like)
        averaged.append({p: m for p, m in zip(parameters, means, strict=True) if m.numel()})
    return averaged


def accumulate_weighted(
    network: PathNetworks,
    weighting: GradientWeighting,
    batch: Batch,
    assignments: Int[Tensor, "samples units tasks"],
    weights: Float[Tensor, "samples tasks"] | None = None,
) -> Float[Tensor, "samples tasks"]:
    """Add to every weight's gradient what a weighting makes of those of the tasks that use it."""
    gradients, losses = task_gradients(network, batch, assignments, weights)
    put_combined(weighting, gradients, losses.mean(0))
    return losses


def put_combined(
    weighting: GradientWeighting,
    gradients: Sequence[Mapping[nn.Parameter, Tensor]],
    losses: Float[Tensor, " tasks"],
) -> None:
    """Add to every weight's gradient what a weighting makes of those of the tasks that use it.

    Args:
        weighting: the weighting, which makes one gradient of several.
        gradients: gradients of every task's loss, averaged over processes, by the weights it uses.
        losses: the loss of every task, averaged over processes.
    """
    with _same_draws():
        combined = weighting.combine(gradients, losses)
    for parameter, gradient in combined.items():
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


@contextmanager
def _same_draws() -> Iterator[None]:
    """Let random methods draw the same in every process inside; with one process do nothing."""
    if not is_distributed():
        yield
        return
    seed = int(all_reduce_max(torch.randint(2**31, (1,))))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _used(network: PathNetworks, assignments: Tensor, task: int) -> list[nn.Parameter]:
    """Return weights on a task's paths: to others in a pass autograd gives zeros, not nothing."""
    parameters = dict.fromkeys([*network.shared_parameters(), *network.head_parameters(task)])
    for unit, numbers in enumerate(assignments[:, :, task].T):
        for weight in sorted(set(numbers.tolist())):
            parameters |= dict.fromkeys(network.bank_parameters(unit, weight))
    return [parameter for parameter in parameters if parameter.requires_grad]
