"""Factors of what units contribute, put into the plain model by loops: one column at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mtl_framework.data.batches import Batch
from mtl_framework.networks.task_networks import TaskNetworks
from mtl_framework.testing.oracle import Oracle, labels


@contextmanager
def multiplied(plain: nn.Module, network: TaskNetworks, factors: Tensor) -> Iterator[None]:
    """Let every unit of the plain model go on with x + m (f(x) - x), or m f(x)."""

    def hook(factor: Tensor) -> Callable[..., Tensor]:
        def changed(module: nn.Module, args: Any, result: Tensor) -> Tensor:
            x = args[0]
            return x + factor * (result - x) if x.shape == result.shape else factor * result

        return changed

    handles = [
        plain.get_submodule(name).register_forward_hook(hook(factor))
        for factor, places in zip(factors, network.backbone.places, strict=True)
        for place in places
        for name in place.names
    ]
    yield
    for handle in handles:
        handle.remove()


def loss_of_column(
    oracle: Oracle, batch: Batch, column: list[int], task: int, factors: Tensor
) -> Tensor:
    """Return the loss of one task on one path, in evaluation, with factors (units,)."""
    oracle.plain.eval()
    with multiplied(oracle.plain, oracle.network, factors):
        outputs = oracle._outputs(oracle._features(batch.inputs[task], column, task), task)
    targets, mask = batch.targets[task], labels(batch, task)
    if mask is not None:
        outputs, targets = outputs[mask], targets[mask]
    return oracle.network.tasks[task].objective.losses(outputs, targets).mean()


def sensitivities_by_loops(
    network: TaskNetworks, batch: Batch, assignments: Tensor
) -> tuple[Tensor, Tensor]:
    """Return derivatives (samples, units, tasks) by factors of one, and losses (samples, tasks)."""
    oracle, (samples, units, tasks) = Oracle(network), assignments.shape
    found = torch.zeros(samples, units, tasks, dtype=torch.float64)
    losses = torch.zeros(samples, tasks, dtype=torch.float64)
    for s in range(samples):
        for t in range(tasks):
            if (mask := labels(batch, t)) is not None and not mask.any():
                continue
            factors = torch.ones(units, dtype=torch.float64, requires_grad=True)
            loss = loss_of_column(oracle, batch, assignments[s, :, t].tolist(), t, factors)
            found[s, :, t] = torch.autograd.grad(loss, factors)[0]
            losses[s, t] = loss.detach()
    return found, losses
