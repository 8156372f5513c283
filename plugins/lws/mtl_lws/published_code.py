"""The published code does this otherwise than the paper, whose way is the default.

Source: the authors' published code (2020). Its third difference, ranks of equal losses in the order
of a sort, is ``ties: first``, see :meth:`SearchDistribution.step`.
"""

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.optim import Optimizer

from mtl_framework import SearchDistribution, TaskNetworks


def scale_by_usage(
    network: TaskNetworks,
    distribution: SearchDistribution,
    alone: Int64[Tensor, "units tasks"] | None = None,
) -> None:
    """``gradient_scaling: usage`` divides a weight's gradient by its expected share of the tasks.

    Equation 13 has the gradient of the mean loss over tasks, in which a weight that one task of T
    uses counts T times less than one that all use. Adam takes most of the difference back.

    Args:
        network: the networks with the gradients of all steps since weights were moved.
        distribution: the distribution that assignments are drawn from.
        alone: the assignment that is trained, where none is drawn; then its users count.
    """
    users = distribution.pi.sum(1)
    if alone is not None:
        users = torch.nn.functional.one_hot(alone.cpu(), users.shape[1]).sum(1).to(users.dtype)
    network.scale_gradients_by_usage(users)


def zero_missing_gradients(network: TaskNetworks, optimizer: Optimizer) -> None:
    """``unused_weights: momentum`` lets Adam move every weight that it has moved before.

    PyTorch 1.3, which the code ran with, left zeros where no sample had used a weight; a gradient
    that is not there stops Adam, one of zero does not.
    """
    for parameter in network.parameters():
        if parameter.grad is None and parameter in optimizer.state:
            parameter.grad = torch.zeros_like(parameter)
