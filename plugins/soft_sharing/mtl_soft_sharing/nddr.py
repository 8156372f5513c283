"""In NDDR-CNN a learned 1x1 convolution reduces what all columns return to a column's width.

Gao, Ma, Zhao, Liu and Yuille, "NDDR-CNN: Layerwise Feature Fusing in Multi-Task CNNs by Neural
Discriminative Dimensionality Reduction", CVPR 2019, arXiv 1801.08297.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mtl_framework import Backbone, ColumnMixer, StrategyConfig

from .config import NddrConfig
from .strategy import ColumnStrategy, unit_shape
from .unit import start_weights

_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm1d, 3: nn.BatchNorm2d, 4: nn.BatchNorm3d}


class NddrLayer(ColumnMixer):
    """Every column goes on with a linear map of the channels of all columns, position by position.

    x~_t = act(BN_t(sum_j W_tj x_j)) with W_tj of (C, C): a 1x1 convolution of the T * C channels of
    all columns to the C of each, without a bias, since the norm has one. A diagonal W_tj without
    norm and activation is a cross-stitch unit with weights by channel.

    Source: Gao et al., CVPR 2019, arXiv 1801.08297.

    Args:
        columns: T, the number of columns.
        own_weight: value on the diagonal of W_tt at the start; the others of a row share 1 -
            own_weight.
        shape: shape of the unit's output for one example.
        channel_dim: position of the C channels in this shape.
        norm: whether a batch norm of every column's own follows.
        rectified: whether a ReLU follows.
    """

    def __init__(
        self,
        columns: int,
        own_weight: float,
        shape: Sequence[int],
        channel_dim: int,
        norm: bool = True,
        rectified: bool = True,
    ) -> None:
        channels = shape[channel_dim]
        behind = [
            _Behind(_NORMS[len(shape)](channels) if norm else None, rectified, channel_dim)
            for _ in range(columns if norm or rectified else 0)
        ]
        super().__init__(behind=behind)
        self.channel_dim = channel_dim
        start = start_weights(columns, own_weight)  # (to, from)
        same = torch.eye(channels)
        self.weight = nn.Parameter(torch.einsum("tj,dc->tdjc", start, same).contiguous())

    def extra_repr(self) -> str:
        """Show the shape of the weights: (to, channel, from, channel), in ``repr``."""
        return f"weight={tuple(self.weight.shape)}"

    def forward(
        self, x: Float[Tensor, "inputs columns examples *dims"], *earlier: Tensor
    ) -> Float[Tensor, "inputs columns examples *dims"]:
        """Mix the channels of the columns of every input; norms and activations come behind."""
        at = 3 + self.channel_dim
        mixed = torch.einsum("tdjc,ij...c->it...d", self.weight, x.movedim(at, -1))
        return mixed.movedim(-1, at)


class _Behind(nn.Module):
    """Behind a mixture a column has its norm and activation, on channels wherever they are."""

    def __init__(self, norm: nn.Module | None, rectified: bool, channel_dim: int) -> None:
        super().__init__()
        self.norm = norm
        self.rectified, self.channel_dim = rectified, channel_dim

    def forward(self, x: Float[Tensor, "rows *dims"]) -> Float[Tensor, "rows *dims"]:
        if self.norm is not None:
            at = 1 + self.channel_dim
            x = self.norm(x.movedim(at, 1)).movedim(1, at)
        return x.relu() if self.rectified else x


class Nddr(ColumnStrategy):
    """Each task has a column of weights; behind some units a convolution fuses all into each.

    The fusing weights are trained with the rest, at a learning rate of their own. The preset
    ``paper`` fuses behind every stage, with SGD at a hundred times the rate; the paper's columns
    start from single-task networks: ``start_from``.
    """

    Config: ClassVar[type[StrategyConfig]] = NddrConfig
    config: NddrConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "strategy": {
                "name": "nddr",
                "after": "stage",
                "own_weight": 0.9,
                "norm": True,
                "activation": "relu",
                "optimizer": "sgd",
                "learning_rate": 1e-3,
                "mixing_rate": 100.0,
            },
            "backbone": {"normalization": "task"},
        }
    }

    def mixers(
        self, backbone: Backbone, mixed: Sequence[int], columns: int
    ) -> dict[int, nn.Module]:
        """Make a layer for every mixed unit."""
        config = self.config
        layers: dict[int, nn.Module] = {}
        for number in mixed:
            shape, at = unit_shape(backbone, number)
            layers[number] = NddrLayer(
                columns, config.own_weight, shape, at, config.norm, config.activation == "relu"
            )
        return layers
