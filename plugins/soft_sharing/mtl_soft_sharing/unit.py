"""A cross-stitch unit mixes what columns return."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def start_weights(columns: int, own_weight: float) -> Float[Tensor, "to columns"]:
    """Put ``own_weight`` on the diagonal; the others of a row share the rest of one evenly.

    A single column starts with 1.
    """
    start = torch.full((columns, columns), (1 - own_weight) / max(columns - 1, 1))
    return start.fill_diagonal_(own_weight if columns > 1 else 1.0)


def by_column(weight: Float[Tensor, "to *rest"]) -> Float[Tensor, "to columns"]:
    """Return how much of every column each goes on with, from mixing weights of any kind.

    Args:
        weight: (to, from); or (to, from, channel), of which the mean over channels is taken; or
            (to, channel, from, channel), maps of channels, of which it is the root of the squares'
            sum by channel: 1 for an identity.
    """
    if weight.ndim == 4:
        return weight.square().sum((1, 3)).div(weight.shape[1]).sqrt()
    return weight.mean(2) if weight.ndim == 3 else weight


class CrossStitchUnit(nn.Module):
    """A cross-stitch unit replaces every column's output by a linear mixture of all columns'.

    x~_t = sum_j a_tj x_j, with one number a pair of columns, or one a pair and channel. The
    numbers are free: neither positive nor summing to one, though they start so.

    Source: Misra et al., CVPR 2016, arXiv 1604.03539, equation 1 (for two columns).

    Args:
        columns: T, the number of columns.
        own_weight: a_tt at the start; the others of a row share 1 - a_tt evenly.
        channels: number of channels, for weights of their own; ``None``: one for all of them.
        channel_dim: position of the channels in one example's activations.
    """

    def __init__(
        self, columns: int, own_weight: float, channels: int | None = None, channel_dim: int = 0
    ) -> None:
        super().__init__()
        start = start_weights(columns, own_weight)
        if channels is not None:
            start = start[..., None].repeat(1, 1, channels)
        self.weight = nn.Parameter(start)
        self.channel_dim = channel_dim

    def extra_repr(self) -> str:
        """Show the shape of the weights: (to, from) or (to, from, channel), in ``repr``."""
        return f"weight={tuple(self.weight.shape)}"

    def forward(
        self, x: Float[Tensor, "inputs columns examples *dims"]
    ) -> Float[Tensor, "inputs columns examples *dims"]:
        """Mix the columns of every input."""
        if self.weight.ndim == 2:
            return torch.einsum("tj,ij...->it...", self.weight, x)
        at = 3 + self.channel_dim
        mixed = torch.einsum("tjc,ij...c->it...c", self.weight, x.movedim(at, -1))
        return mixed.movedim(-1, at)
