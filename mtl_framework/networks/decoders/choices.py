"""Decoders are chosen by name in the section ``heads`` of a run's config.

Each function takes the channels of the maps that it will read, the finest first, and the number of
outputs; its keyword arguments are the options. A plugin adds its own by the hook ``mtl_heads``.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from ...data.head_choice import DEFAULT_NAME, DEFAULT_OPTIONS, HeadChoice
from .kinds import ASPPDecoder, FCNDecoder, FPNDecoder, LinearDecoder, SegFormerDecoder

Width = Annotated[int, Field(ge=1, le=8192)]
Count = Annotated[int, Field(ge=1, le=64)]
Rate = Annotated[float, Field(ge=0, lt=1)]


def linear(channels: Sequence[int], num_outputs: int, /) -> LinearDecoder:
    """Put one linear layer at every pixel of the deepest map where outputs are maps.

    Args:
        channels: numbers of channels of the maps, the finest first.
        num_outputs: number of channels of the outputs.
    """
    return LinearDecoder(channels, num_outputs)


def fcn(
    channels: Sequence[int],
    num_outputs: int,
    /,
    *,
    width: Width = 64,
    depth: Count = 2,
    dropout: Rate = 0.0,
) -> FCNDecoder:
    """Put convolutions on the deepest map.

    Args:
        channels: numbers of channels of the maps, the finest first.
        num_outputs: number of channels of the outputs.
        width: number of channels of the decoder's own layers.
        depth: number of 3x3 convolutions.
        dropout: share of the channels that are left out in front of the last layer in training.
    """
    return FCNDecoder(channels, num_outputs, width, depth, dropout)


def aspp(
    channels: Sequence[int],
    num_outputs: int,
    /,
    *,
    width: Width = 64,
    rates: tuple[Count, ...] = (6, 12, 18),
    dropout: Rate = 0.0,
) -> ASPPDecoder:
    """Pool the deepest map by atrous spatial pyramid pooling, as in DeepLab v3.

    Args:
        channels: numbers of channels of the maps, the finest first.
        num_outputs: number of channels of the outputs.
        width: number of channels of the decoder's own layers.
        rates: distances of pixels that the dilated convolutions read, each its own branch.
        dropout: share of the channels that are left out in front of the last layer in training.
    """
    return ASPPDecoder(channels, num_outputs, width, rates, dropout)


def fpn(
    channels: Sequence[int],
    num_outputs: int,
    /,
    *,
    width: Width = 64,
    dropout: Rate = 0.0,
) -> FPNDecoder:
    """Build a feature pyramid over up to four maps, whose levels are added up.

    Args:
        channels: numbers of channels of the maps, the finest first.
        num_outputs: number of channels of the outputs.
        width: number of channels of the decoder's own layers.
        dropout: share of the channels that are left out in front of the last layer in training.
    """
    return FPNDecoder(channels, num_outputs, width, dropout)


def segformer(
    channels: Sequence[int],
    num_outputs: int,
    /,
    *,
    width: Width = 64,
    dropout: Rate = 0.0,
) -> SegFormerDecoder:
    """Build SegFormer's all-MLP decoder over up to four maps.

    Args:
        channels: numbers of channels of the maps, the finest first.
        num_outputs: number of channels of the outputs.
        width: number of channels of the decoder's own layers.
        dropout: share of the channels that are left out in front of the last layer in training.
    """
    return SegFormerDecoder(channels, num_outputs, width, dropout)


#: What a task with maps has where nobody chooses; a run's config has it as ``default_head``.
DEFAULT = HeadChoice(DEFAULT_NAME, fpn, DEFAULT_OPTIONS)
