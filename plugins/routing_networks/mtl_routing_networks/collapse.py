"""By collapse all tasks end up on one block: how near an assignment is to it is measured."""

import torch.nn.functional as F
from jaxtyping import Float64, Int64
from torch import Tensor


def largest_groups(assignment: Int64[Tensor, "units tasks"]) -> Float64[Tensor, " units"]:
    """Return, for every unit, the share of the tasks that use its most used block.

    1: all tasks use one block, as in full sharing; 1 / T: every task has its own.
    """
    return F.one_hot(assignment).sum(1).amax(-1).double() / assignment.shape[1]


def blocks_in_use(assignment: Int64[Tensor, "units tasks"]) -> Float64[Tensor, " units"]:
    """Return, for every unit, the number of different blocks that tasks use."""
    return F.one_hot(assignment).amax(1).sum(-1).double()
