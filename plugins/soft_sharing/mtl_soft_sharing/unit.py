"""A cross-stitch unit mixes what columns return."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class CrossStitchUnit(nn.Module):
    """Replaces what every column returns by a linear mixture of what all of them return.

    x~_t = sum_j a_tj x_j, with one number a pair of columns, or one a pair and channel. The
    numbers are free: neither positive nor summing to one, though they start so.

    Source: Misra et al., CVPR 2016, arXiv 1604.03539, equation 1 (for two columns).

    Args:
        columns: T.
        own_weight: a_tt at the start; the others of a row share 1 - a_tt evenly. A single column
            starts with 1.
        channels: number of channels, for weights of their own; ``None``: one for all of them.
        channel_dim: which dimension of one example's activations holds the channels.
    """

    def __init__(
        self, columns: int, own_weight: float, channels: int | None = None, channel_dim: int = 0
    ) -> None:
        super().__init__()
        others = (1 - own_weight) / max(columns - 1, 1)
        start = torch.full((columns, columns), others)
        start.fill_diagonal_(own_weight if columns > 1 else 1.0)
        if channels is not None:
            start = start[..., None].repeat(1, 1, channels)
        self.weight = nn.Parameter(start)
        self.channel_dim = channel_dim

    def extra_repr(self) -> str:
        """Shape of the weights: (to, from) or (to, from, channel)."""
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
