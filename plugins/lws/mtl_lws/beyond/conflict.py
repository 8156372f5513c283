"""A prior from gradient conflict: tasks that pull a unit apart start with weights of their own.

Recon (Shi et al., ICLR 2023, arXiv 2302.11289) trains with everything shared, measures the cosine
between the tasks' gradients in every layer, and gives layers with much conflict to the tasks one
by one. It counts how often a cosine is negative, which favours layers with few parameters, whose
cosines spread by chance; here their mean counts. Where Recon decides, the search only starts.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from mtl_framework import TaskNetworks, all_reduce_mean, renumber
from mtl_framework.data import Batch


@contextmanager
def everything_shared(
    network: TaskNetworks, learning_rate: float
) -> Iterator[tuple[torch.optim.Optimizer, Int64[Tensor, "1 units tasks"]]]:
    """Give a short run, in which all tasks use weight 0 of every unit, its Adam and assignment.

    Afterwards the networks are as they were.
    """
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), learning_rate)
    network.train()
    yield optimizer, torch.zeros(1, *network.assignment.shape, dtype=torch.int64)
    optimizer.zero_grad()
    network.load_state_dict(before)


def gradient_cosines(
    network: TaskNetworks, next_batch: Callable[[], Batch], iterations: int, learning_rate: float
) -> Float64[Tensor, "units tasks tasks"]:
    """Measure the mean cosine between two tasks' gradients in every unit, all tasks sharing all.

    It trains weight 0 of every unit with Adam meanwhile; the networks are as they were afterwards.
    Several processes measure on their own examples, and average.

    Args:
        network: the networks of all tasks.
        next_batch: draws a batch of training examples.
        iterations: number of steps of the short run.
        learning_rate: learning rate of these steps.
    """
    units, tasks = network.assignment.shape
    cosines = torch.zeros(units, tasks, tasks, dtype=torch.float64)
    with everything_shared(network, learning_rate) as (optimizer, shared):
        for _ in range(iterations):
            optimizer.zero_grad()
            losses = network.losses(next_batch(), shared)[0]
            for unit in range(units):
                cosines[unit] += _cosines(losses, list(network.bank_parameters(unit, 0)))
            with network.averaged_gradients():
                torch.autograd.backward(losses.mean())
            optimizer.step()
    return all_reduce_mean(cosines) / iterations


def groups_without_conflict(
    cosines: Float64[Tensor, "units tasks tasks"], most: int
) -> Int64[Tensor, "units tasks"]:
    """Group, for every unit, tasks whose gradients agree on average.

    Args:
        cosines: mean cosine of any two tasks' gradients in every unit.
        most: largest number of groups in a unit.
    """
    return torch.cat([average_linkage(unit, 0.0, most) for unit in cosines])


def average_linkage(
    agreement: Float64[Tensor, "tasks tasks"], least: float, most: int
) -> Int64[Tensor, "1 tasks"]:
    """Put tasks together, the most alike first, while the mean agreement of two groups is enough.

    Args:
        agreement: of any two tasks, at most 1.
        least: mean agreement below which two groups stay apart.
        most: largest number of groups, which are put together all the same if there are more.
    """
    from scipy.cluster import hierarchy  # slow to import, and rarely needed
    from scipy.spatial.distance import squareform

    if len(agreement) == 1:
        return torch.zeros(1, 1, dtype=torch.int64)
    tree = hierarchy.average(squareform((1 - agreement.numpy()).clip(min=0), checks=False))
    groups = hierarchy.fcluster(tree, 1 - least, "distance")
    if groups.max() > most:
        groups = hierarchy.fcluster(tree, most, "maxclust")
    return renumber(torch.from_numpy(groups.astype("int64"))[None])


def groups_by_conflict(
    network: TaskNetworks,
    next_batch: Callable[[], Batch],
    iterations: int,
    learning_rate: float,
    most: int,
) -> Int64[Tensor, "units tasks"]:
    """Measure :func:`gradient_cosines` and return :func:`groups_without_conflict`."""
    cosines = gradient_cosines(network, next_batch, iterations, learning_rate)
    return groups_without_conflict(cosines, most)


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
