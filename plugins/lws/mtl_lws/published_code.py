"""The published code does this otherwise than the paper, whose way is the default.

Source: the authors' published code (2020). Its third difference, ranks of equal losses in the order
of a sort, is ``ties: first``, see :meth:`SearchDistribution.step`.
"""

import torch
from torch.optim import Optimizer

from mtl_framework import SearchDistribution, TaskNetworks


def scale_by_usage(network: TaskNetworks, distribution: SearchDistribution) -> None:
    """``gradient_scaling: usage`` divides a weight's gradient by its expected share of the tasks.

    Equation 13 has the gradient of the mean loss over tasks, in which a weight that one task of T
    uses counts T times less than one that all use. Adam takes most of the difference back.
    """
    network.scale_gradients_by_usage(distribution.pi.sum(1))


def zero_missing_gradients(network: TaskNetworks, optimizer: Optimizer) -> None:
    """``unused_weights: momentum`` lets Adam move every weight that it has moved before.

    PyTorch 1.3, which the code ran with, left zeros where no sample had used a weight; a gradient
    that is not there stops Adam, one of zero does not.
    """
    for parameter in network.parameters():
        if parameter.grad is None and parameter in optimizer.state:
            parameter.grad = torch.zeros_like(parameter)
