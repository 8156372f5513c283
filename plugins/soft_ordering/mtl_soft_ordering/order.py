"""Soft orders say how much of every layer a task has at every depth."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class SoftOrder(nn.Module):
    """A soft order is D layers' shares at D depths, for every task: a softmax over layers.

    s(t, k, j) = exp(S_tkj) / sum_i exp(S_tki), for task t, depth k and layer j.

    Source: Meyerson and Miikkulainen, ICLR 2018, arXiv 1711.00108, equation 7.

    Args:
        tasks: T, the number of tasks.
        layers: D, the number of layers.

    Attributes:
        logits: (tasks, depths, layers), all zero at the start, where all shares are 1 / D.
    """

    def __init__(self, tasks: int, layers: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(tasks, layers, layers))

    def extra_repr(self) -> str:
        """Show the shape of the logits in ``repr``."""
        return "tasks={}, depths={}, layers={}".format(*self.logits.shape)

    def forward(self, depth: int) -> Float[Tensor, "tasks layers"]:
        """Compute the shares at one depth."""
        return self.logits[:, depth].softmax(1)

    @torch.no_grad()
    def all_shares(self) -> Float[Tensor, "tasks depths layers"]:
        """Compute the shares at all depths."""
        return self.logits.softmax(2)

    @torch.no_grad()
    def certainty(self) -> Float[Tensor, ""]:
        """Return the mean of the largest shares: 1 / D for equal shares, 1 for an order."""
        return self.all_shares().max(2).values.mean()
