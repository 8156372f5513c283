"""Weights have a price: the loss that ranks has the size of its network added.

The expected number of distinct weights of a unit is, because tasks choose independently,
E = sum_k (1 - prod_t (1 - pi[t, k])): linear in tasks times weights, where the resource loss of
branched search (BMTAS, Brueggemann et al., BMVC 2020) enumerates partitions. A unit's weights cost
its share of the parameters of all units, so a fully shared network costs 1 and one without sharing
as much as there are tasks; ``price`` is in units of the loss per unit of that cost.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float64, Int64
from torch import Tensor

from mtl_framework import TaskNetworks


def unit_costs(network: TaskNetworks) -> Float64[Tensor, " units"]:
    """Return the parameters of one weight of every unit, as shares that sum to one."""
    sizes = [
        sum(parameter.numel() for parameter in network.bank_parameters(unit, 0))
        for unit in range(len(network.weights_per_unit))
    ]
    costs = torch.tensor(sizes, dtype=torch.float64)
    return costs / costs.sum()


def size(
    assignments: Int64[Tensor, "samples units tasks"], costs: Float64[Tensor, " units"]
) -> Float64[Tensor, " samples"]:
    """Compute the cost of the weights that each assignment uses: 1 where all is shared, up to T."""
    used = F.one_hot(assignments).amax(2).sum(-1)  # distinct weights by sample and unit
    return used.double() @ costs


def expected_size(
    pi: Float64[Tensor, "units tasks weights"], costs: Float64[Tensor, " units"]
) -> float:
    """Compute the expectation of :func:`size` under the search distribution, in closed form."""
    return float(expectation(pi, costs))


def expectation(
    pi: Float64[Tensor, "units tasks weights"], costs: Float64[Tensor, " units"]
) -> Float64[Tensor, ""]:
    """Compute :func:`expected_size` as a tensor that can be differentiated by ``pi``."""
    return (1 - (1 - pi).prod(1)).sum(-1) @ costs


def own_size(
    assignments: Int64[Tensor, "samples units tasks"],
    pi: Float64[Tensor, "units tasks weights"],
    costs: Float64[Tensor, " units"],
) -> Float64[Tensor, "samples tasks"]:
    """Compute what each task's choices are expected to add to the size, given the other tasks'.

    A choice adds a weight if no other task makes it: prod over the others of (1 - pi[t, k]). So
    a task's sample is ranked by its own part of the price alone, without the noise of the others'.
    """
    tasks = pi.shape[1]
    others = torch.stack(  # products without dividing by what may be zero
        [(1 - pi[:, [t for t in range(tasks) if t != task]]).prod(1) for task in range(tasks)], 1
    )
    by_sample = others.expand(len(assignments), *others.shape)
    alone = by_sample.gather(3, assignments[..., None]).squeeze(3)  # samples, units, tasks
    return torch.einsum("sut,u->st", alone, costs)
