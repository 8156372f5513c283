"""This file holds the layers that decoders are made of."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...data.objectives.maps.base import Size

Map = Float[Tensor, "_ _ _ _"]
_GROUPS = 32


def conv_norm(inputs: int, outputs: int, kernel: int = 3, dilation: int = 1) -> nn.Sequential:
    """Make a convolution that keeps height and width, group norm and ReLU.

    It is not batch norm: a decoder sees the rows of several sampled paths at once, which would be
    normalised together.

    Args:
        inputs: number of channels that it reads.
        outputs: number of channels that it returns.
        kernel: odd size of the convolution.
        dilation: distance between the pixels that it reads.
    """
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False),
        group_norm(outputs),
        nn.ReLU(inplace=True),
    )


def group_norm(channels: int) -> nn.GroupNorm:
    """Make group norm with the most groups, at most 32, that divide the channels."""
    groups = next(n for n in range(min(_GROUPS, channels), 0, -1) if channels % n == 0)
    return nn.GroupNorm(groups, channels)


def largest(maps: list[Tensor]) -> Size:
    """Return height and width of the largest map; while a program is traced, of the first."""
    if torch.compiler.is_exporting():
        return maps[0].shape[2], maps[0].shape[3]
    height, width = max((x.shape[2:] for x in maps), key=lambda size: size[0] * size[1])
    return height, width
