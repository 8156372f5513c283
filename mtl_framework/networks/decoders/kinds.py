"""This file holds the decoders that come with the framework.

Each reads some maps of a backbone, from the finest to the coarsest, and gives one of
``num_outputs`` channels at any resolution; the host makes it as large as the targets.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...data.objectives.maps.base import resized
from .layers import conv_norm, largest

Map = Float[Tensor, "_ _ _ _"]


class LinearDecoder(nn.Module):
    """This decoder is one linear layer at every pixel of the deepest map."""

    def __init__(self, channels: Sequence[int], num_outputs: int) -> None:
        super().__init__()
        self.scores = nn.Conv2d(channels[-1], num_outputs, 1)

    def forward(self, maps: list[Map]) -> Map:
        """Compute outputs at the resolution of the deepest map."""
        outputs: Tensor = self.scores(maps[-1])
        return outputs


class FCNDecoder(nn.Module):
    """This decoder puts convolutions on the deepest map, as the heads of FCN-32s do today."""

    def __init__(
        self, channels: Sequence[int], num_outputs: int, width: int, depth: int, dropout: float
    ) -> None:
        super().__init__()
        layers = [conv_norm(channels[-1] if n == 0 else width, width) for n in range(depth)]
        self.layers = nn.Sequential(*layers, nn.Dropout2d(dropout))
        self.scores = nn.Conv2d(width, num_outputs, 1)

    def forward(self, maps: list[Map]) -> Map:
        """Compute outputs at the resolution of the deepest map."""
        outputs: Tensor = self.scores(self.layers(maps[-1]))
        return outputs


class ASPPDecoder(nn.Module):
    """This decoder pools the deepest map at several rates (Chen et al. 2017, arXiv 1706.05587)."""

    def __init__(
        self,
        channels: Sequence[int],
        num_outputs: int,
        width: int,
        rates: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        deepest = channels[-1]
        self.branches = nn.ModuleList(
            [conv_norm(deepest, width, 1)] + [conv_norm(deepest, width, 3, r) for r in rates]
        )
        self.pooled = nn.Sequential(nn.Conv2d(deepest, width, 1), nn.ReLU(inplace=True))
        self.project = conv_norm(width * (len(rates) + 2), width, 1)
        self.last = nn.Sequential(nn.Dropout2d(dropout), conv_norm(width, width))
        self.scores = nn.Conv2d(width, num_outputs, 1)

    def forward(self, maps: list[Map]) -> Map:
        """Compute outputs at the resolution of the deepest map."""
        x = maps[-1]
        parts = [branch(x) for branch in self.branches]
        pooled = self.pooled(x.mean((2, 3), keepdim=True))
        parts.append(pooled.expand(-1, -1, x.shape[2], x.shape[3]))
        outputs: Tensor = self.scores(self.last(self.project(torch.cat(parts, 1))))
        return outputs


class FPNDecoder(nn.Module):
    """This decoder adds up a pyramid of features (Kirillov et al. 2019, arXiv 1901.02446).

    From the deepest map on, each is made as large as the next finer one and added to it; the sum of
    all levels, each after a convolution, gives the outputs at the resolution of the finest.
    """

    def __init__(
        self, channels: Sequence[int], num_outputs: int, width: int, dropout: float
    ) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(n, width, 1) for n in channels)
        self.smooth = nn.ModuleList(conv_norm(width, width) for _ in channels)
        self.dropout = nn.Dropout2d(dropout)
        self.scores = nn.Conv2d(width, num_outputs, 1)

    def forward(self, maps: list[Map]) -> Map:
        """Compute outputs at the resolution of the finest map."""
        sides = [layer(x) for layer, x in zip(self.lateral, maps, strict=True)]
        for finer in range(len(sides) - 2, -1, -1):
            height, width = sides[finer].shape[2:]
            above = F.interpolate(sides[finer + 1], size=(height, width), mode="nearest")
            sides[finer] = sides[finer] + above
        size = largest(maps)
        smooth = [resized(layer(x), size) for layer, x in zip(self.smooth, sides, strict=True)]
        outputs: Tensor = self.scores(self.dropout(torch.stack(smooth).sum(0)))
        return outputs


class SegFormerDecoder(nn.Module):
    """This decoder joins all maps, in one width and size, linearly (Xie et al. 2021)."""

    def __init__(
        self, channels: Sequence[int], num_outputs: int, width: int, dropout: float
    ) -> None:
        super().__init__()
        self.linear = nn.ModuleList(nn.Conv2d(n, width, 1) for n in channels)
        self.fuse = conv_norm(width * len(channels), width, 1)
        self.dropout = nn.Dropout2d(dropout)
        self.scores = nn.Conv2d(width, num_outputs, 1)

    def forward(self, maps: list[Map]) -> Map:
        """Compute outputs at the resolution of the finest map."""
        size = largest(maps)
        parts = [resized(layer(x), size) for layer, x in zip(self.linear, maps, strict=True)]
        outputs: Tensor = self.scores(self.dropout(self.fuse(torch.cat(parts, 1))))
        return outputs
