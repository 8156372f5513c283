"""Soft orders: how much of every layer a task has at every depth."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class SoftOrder(nn.Module):
    """Shares of D layers at D depths, for every task: a softmax over layers.

    s(t, k, j) = exp(S_tkj) / sum_i exp(S_tki), for task t, depth k and layer j.

    Source: Meyerson and Miikkulainen, ICLR 2018, arXiv 1711.00108, equation 7.

    Args:
        tasks: T.
        layers: D.

    Attributes:
        logits: (tasks, depths, layers), zero at the start: all shares are 1 / D.
    """

    def __init__(self, tasks: int, layers: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(tasks, layers, layers))

    def extra_repr(self) -> str:
        """Shape of the logits."""
        return "tasks={}, depths={}, layers={}".format(*self.logits.shape)

    def forward(self, depth: int) -> Float[Tensor, "tasks layers"]:
        """The shares at one depth."""
        return self.logits[:, depth].softmax(1)

    @torch.no_grad()
    def all_shares(self) -> Float[Tensor, "tasks depths layers"]:
        """The shares at all depths."""
        return self.logits.softmax(2)

    @torch.no_grad()
    def certainty(self) -> Float[Tensor, ""]:
        """Mean over tasks and depths of the largest share: 1 / D for equal ones, 1 for an order."""
        return self.all_shares().max(2).values.mean()
