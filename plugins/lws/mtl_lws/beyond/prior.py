"""By a prior, all tasks start leaning to one weight, or those that do not pull a unit apart.

While the search distribution is uniform, each weight is trained by every task and by chance, and
learns slowly; a start that leans towards one weight learns nearly as fast as full sharing, merges
more rows, and still moves apart where the losses ask for it (own).

From gradient conflict: tasks that pull a unit apart start with weights of their own.
Recon (Shi et al., ICLR 2023, arXiv 2302.11289) trains with everything shared, measures the cosine
between the tasks' gradients in every layer, and gives layers with much conflict to the tasks one
by one. It counts how often a cosine is negative, which favours layers with few parameters, whose
cosines spread by chance; here their mean counts. Where Recon decides, the search only starts.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from mtl_framework import SearchDistribution, TaskNetworks, renumber
from mtl_framework.data import Batch


def gradient_cosines(
    network: TaskNetworks, next_batch: Callable[[], Batch], iterations: int, learning_rate: float
) -> Float64[Tensor, "units tasks tasks"]:
    """Measure the mean cosine between two tasks' gradients in every unit, all tasks sharing all.

    It trains weight 0 of every unit with Adam meanwhile; the networks are as they were afterwards.

    Args:
        network: the networks of all tasks.
        next_batch: draws a batch of training examples.
        iterations: number of steps of the short run.
        learning_rate: learning rate of these steps.
    """
    units, tasks = len(network.weights_per_unit), len(network.tasks)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), learning_rate)
    shared = torch.zeros(1, units, tasks, dtype=torch.int64)
    cosines = torch.zeros(units, tasks, tasks, dtype=torch.float64)
    network.train()
    for _ in range(iterations):
        optimizer.zero_grad()
        losses = network.losses(next_batch(), shared)[0]
        for unit in range(units):
            cosines[unit] += _cosines(losses, list(network.bank_parameters(unit, 0)))
        torch.autograd.backward(losses.mean())
        optimizer.step()
    optimizer.zero_grad()
    network.load_state_dict(before)
    return cosines / iterations


def groups_without_conflict(
    cosines: Float64[Tensor, "units tasks tasks"], most: int
) -> Int64[Tensor, "units tasks"]:
    """Group, for every unit, tasks whose gradients agree on average (average linkage).

    Args:
        cosines: mean cosine of any two tasks' gradients in every unit.
        most: largest number of groups in a unit.
    """
    from scipy.cluster import hierarchy  # slow to import, and rarely needed
    from scipy.spatial.distance import squareform

    rows = []
    for unit in cosines.numpy():
        if len(unit) == 1:
            rows.append(torch.zeros(1, dtype=torch.int64))
            continue
        tree = hierarchy.average(squareform((1 - unit).clip(min=0), checks=False))
        groups = hierarchy.fcluster(tree, 1.0, "distance")  # distance 1: a cosine of zero
        if groups.max() > most:
            groups = hierarchy.fcluster(tree, most, "maxclust")
        rows.append(torch.from_numpy(groups.astype("int64")))
    return renumber(torch.stack(rows))


def lean_towards(
    distribution: SearchDistribution, groups: Int64[Tensor, "units tasks"], strength: float
) -> None:
    """Move the distribution by ``strength`` (0 to 1) of the way to a given assignment."""
    target = torch.nn.functional.one_hot(groups, distribution.pi.shape[-1]).double()
    pi = (1 - strength) * distribution.pi + strength * target
    distribution.load_state_dict({"pi": pi})


def _cosines(
    losses: Float64[Tensor, " tasks"] | Tensor, parameters: list[Tensor]
) -> Float64[Tensor, "tasks tasks"]:
    rows = []
    for loss in losses:
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        pairs = zip(gradients, parameters, strict=True)
        flat = [(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs]
        rows.append(torch.cat(flat).double().cpu())
    directions = torch.nn.functional.normalize(torch.stack(rows), dim=1)
    return directions @ directions.T
