"""Task grouping (TAG) measures what a step for one task does to the loss of every task."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from mtl_framework import RecipeOptimizer, TaskNetworks, task_gradients
from mtl_framework.data import Batch

from .measured import undisturbed


def affinities(
    network: TaskNetworks, batch: Batch, optimizer: RecipeOptimizer, rate: float | None
) -> Float64[Tensor, "tasks tasks"]:
    """Return by how much a virtual step for task i lowers the loss of task j, for all i and j.

    The affinity Z_ij = (1 - L_j(after) / L_j(before)) / rate compares the loss of task j before and
    after a step of gradient descent along the gradient of task i alone. The step moves the weights
    that tasks share, with the optimiser's momentum if it has one; heads stay as they are. Both
    losses are computed on the same batch, normalised by its own statistics, with the same random
    numbers. Afterwards weights, gradients, running averages and random numbers are restored.

    Source: Fifty et al., NeurIPS 2021, arXiv 2109.04617; the division by the rate is not in the
    paper, but in the authors' code.

    Args:
        network: networks whose tasks share every unit.
        batch: examples of every task.
        optimizer: the optimiser of the run.
        rate: step size; ``None`` takes the optimiser's present learning rate.

    Returns:
        (tasks, tasks), entry (i, j) being Z_ij; above 0 where the step for i lowers the loss of j,
        NaN where i or j has no labelled examples in the batch.
    """
    assignments = network.assignment.cpu()[None]
    network.train()
    with undisturbed(network):
        seed = int(torch.randint(2**62, (1,)))
        torch.manual_seed(seed)
        gradients, before = task_gradients(network, batch, assignments)
        own = {p for task in range(len(network.tasks)) for p in network.head_parameters(task)}
        rows = []
        for gradient in gradients:
            shared = {p: g for p, g in gradient.items() if p not in own}
            torch.manual_seed(seed)
            rows.append(_after(network, batch, assignments, shared, optimizer, rate))
    used = optimizer.param_groups[0]["lr"] if rate is None else rate
    change = (1 - torch.stack(rows) / before[0].double().cpu()) / used
    missing = torch.tensor([not gradient for gradient in gradients])
    change[missing] = torch.nan
    change[:, missing] = torch.nan
    return change


@torch.no_grad()
def _after(
    network: TaskNetworks,
    batch: Batch,
    assignments: Tensor,
    gradient: dict[nn.Parameter, Tensor],
    optimizer: RecipeOptimizer,
    rate: float | None,
) -> Float64[Tensor, " tasks"]:
    """Return the losses of all tasks after a virtual step along one task's gradient."""
    rates = {p: g["lr"] for g in optimizer.param_groups for p in g["params"]}
    momenta = {p: g.get("momentum", 0.0) for g in optimizer.param_groups for p in g["params"]}
    held = {p: p.detach().clone() for p in gradient}
    for parameter, direction in gradient.items():
        buffer = optimizer.state.get(parameter, {}).get("momentum_buffer")
        if buffer is not None:
            direction = direction + momenta[parameter] * buffer
        step = rates[parameter] if rate is None else rate
        parameter.sub_(direction, alpha=step)
    losses: Float[Tensor, "samples tasks"] = network.losses(batch, assignments)
    for parameter, value in held.items():
        parameter.copy_(value)
    return network.averaged_losses(batch, losses)[0].double().cpu()
