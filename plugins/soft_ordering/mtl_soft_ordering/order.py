"""Orders say how much of every layer a task has at every depth: soft ones, and fixed ones."""

import torch
from jaxtyping import Float, Int
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


class FixedOrder(nn.Module):
    """A fixed order is one layer at every depth for each task, and is not trained.

    It starts with the layers as they stand, the same for all tasks (parallel order, equation 2).

    Source: Meyerson and Miikkulainen, ICLR 2018, arXiv 1711.00108, equations 2 and 3.

    Args:
        tasks: T, the number of tasks.
        layers: D, the number of layers.
    """

    shares: Float[Tensor, "tasks depths layers"]

    def __init__(self, tasks: int, layers: int) -> None:
        super().__init__()
        self.register_buffer("shares", torch.eye(layers).repeat(tasks, 1, 1))

    def extra_repr(self) -> str:
        """Show the shape of the shares in ``repr``."""
        return "tasks={}, depths={}, layers={}".format(*self.shares.shape)

    def permute(self) -> None:
        """Draw an order at random for every task (permuted order, equation 3)."""
        tasks, depths, _ = self.shares.shape
        self.set(torch.stack([torch.randperm(depths) for _ in range(tasks)]))

    def set(self, layers: Int[Tensor, "tasks depths"]) -> None:
        """Take these orders: layers[t, k] is what task t uses at depth k.

        An example: [[2, 0, 1]] lets the only task run the third layer first, then the first and
        the second.
        """
        self.shares.zero_().scatter_(2, layers[:, :, None].to(self.shares.device), 1)

    def forward(self, depth: int) -> Float[Tensor, "tasks layers"]:
        """Return the shares at one depth: one, and otherwise zeros."""
        return self.shares[:, depth]

    def all_shares(self) -> Float[Tensor, "tasks depths layers"]:
        """Return the shares at all depths."""
        return self.shares

    def certainty(self) -> Float[Tensor, ""]:
        """Return the mean of the largest shares, which is 1."""
        return self.shares.max(2).values.mean()
