"""A weight of a unit becomes a copy of another in the middle of a run."""

import torch
from torch import Tensor

from ..networks.task_networks import TaskNetworks
from .recipe_optimizer import RecipeOptimizer


@torch.no_grad()
def copy_weight(
    networks: TaskNetworks, optimizer: RecipeOptimizer, unit: int, source: int, target: int
) -> None:
    """Make one weight of a unit a copy of another, with its running averages and moments.

    A moving average of the weights (``training.average``) is no longer one of these weights:
    call ``optimizer.restart_average()`` when everything is copied.

    Args:
        networks: the networks whose weights are copied.
        optimizer: the optimiser whose moments are copied, too.
        unit: position of the unit.
        source: number of the weight that is copied.
        target: number of the weight that is overwritten.
    """
    for bank in networks.banks():
        if bank.unit == unit:
            bank.copies[target].load_state_dict(bank.copies[source].state_dict())
    old, new = (networks.bank_parameters(unit, weight) for weight in (source, target))
    for theirs, ours in zip(old, new, strict=True):
        ours.grad = None if theirs.grad is None else theirs.grad.clone()
        if theirs in optimizer.state:
            optimizer.state[ours] = {
                key: value.clone() if isinstance(value, Tensor) else value
                for key, value in optimizer.state[theirs].items()
            }


def forget_moments(networks: TaskNetworks, optimizer: RecipeOptimizer, unit: int) -> None:
    """Let the optimiser begin anew with all weights of a unit, as if they had never moved.

    Moments of gradients that all T tasks had a part in are too large for a copy with one user,
    which has a T-th of its task's gradient: Adam moves it by less until it has forgotten them (for
    some 1,000 steps with its usual 0.999).

    Args:
        networks: the networks whose weights have become copies.
        optimizer: the optimiser of these weights.
        unit: position of the unit.
    """
    for weight in range(networks.weights_per_unit[unit]):
        for parameter in networks.bank_parameters(unit, weight):
            optimizer.state.pop(parameter, None)
