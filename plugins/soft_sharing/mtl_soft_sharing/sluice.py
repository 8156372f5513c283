"""Sluice networks mix subspaces of columns, and the units of each column, too.

Ruder, Bingel, Augenstein and Sogaard, "Latent Multi-task Architecture Learning", AAAI 2019, arXiv
1705.08142 (first called "Sluice networks").
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mtl_framework import Backbone, ColumnMixer, MtlError, StrategyConfig
from mtl_framework.data import Suite

from .config import SluiceConfig
from .network import ColumnNetworks
from .strategy import ColumnStrategy, unit_shape

Columns = Float[Tensor, "inputs columns examples *dims"]
_MOST_NAMED = 16  # numbers of subspaces that a refusal offers


class SubspaceMixer(ColumnMixer):
    """Every subspace of every column goes on with a mixture of all subspaces of all columns.

    With s subspaces, the channels of column t are cut into s groups x_(t,1) .. x_(t,s) of the same
    size, one behind the other, and x~_(t,q) = sum_(j,r) a_((t,q),(j,r)) x_(j,r).

    Source: Ruder et al., arXiv 1705.08142.

    Args:
        start: (T * s, T * s), the weights at the start; the subspaces of a column lie next to each
            other.
        columns: T, the number of columns.
        channel_dim: position of the channels in one example's activations.
        reads: numbers of earlier units, see :class:`ColumnMixer`.
    """

    def __init__(
        self,
        start: Float[Tensor, "to subspaces"],
        columns: int,
        channel_dim: int,
        reads: Sequence[int] = (),
    ) -> None:
        super().__init__(reads)
        self.weight = nn.Parameter(start)
        self.columns, self.channel_dim = columns, channel_dim

    def extra_repr(self) -> str:
        """Show the shape of the weights: (to, from), over all subspaces, in ``repr``."""
        return f"weight={tuple(self.weight.shape)}"

    def forward(self, x: Columns, *earlier: Tensor) -> Columns:
        """Mix the subspaces of the columns of every input."""
        at, count = 3 + self.channel_dim, len(self.weight) // self.columns
        weight = self.weight.view(self.columns, count, self.columns, count)
        apart = x.movedim(at, -1).unflatten(-1, (count, -1))
        mixed = torch.einsum("tqjr,ij...rc->it...qc", weight, apart)
        return mixed.flatten(-2).movedim(-1, at)


class UnitMixer(SubspaceMixer):
    """Behind the last mixed unit a column goes on with a mixture of what it had behind each.

    The mixture is sum_k b_tk P_k(h_tk), where h_tk is what column t went on with behind the k-th
    mixed unit, and P_k fits it to the last one: nothing where shapes are equal; else means over as
    many parts of the map as the last unit's map has positions (the mean over all of it, where the
    last unit has no such map), then a matrix of the column's own from its channels to the last
    unit's.

    Args:
        start: weights of subspaces at the start, see :class:`SubspaceMixer`.
        layers: (T, K), the weights b at the start.
        shapes: for each of the K mixed units the shape of its output for one example, and the
            position of the channels in it.
        reads: numbers of all mixed units but the last.
    """

    def __init__(
        self,
        start: Float[Tensor, "to subspaces"],
        layers: Float[Tensor, "columns layers"],
        shapes: Sequence[tuple[tuple[int, ...], int]],
        reads: Sequence[int],
    ) -> None:
        columns, (last, channel_dim) = len(layers), shapes[-1]
        super().__init__(start, columns, channel_dim, reads)
        self.layers = nn.Parameter(layers)
        self.projections = nn.ParameterDict()
        self.earlier_dims = tuple(at for _, at in shapes[:-1])
        for number, (shape, at) in enumerate(shapes[:-1]):
            if (shape, at) != shapes[-1]:
                matrices = torch.empty(columns, last[channel_dim], shape[at])
                bound = shape[at] ** -0.5  # as torch's linear layers start
                self.projections[str(number)] = nn.Parameter(matrices.uniform_(-bound, bound))

    @torch.no_grad()
    def make_alike(self) -> None:
        """Give every column the matrices of the first one."""
        for matrices in self.projections.values():
            matrices.copy_(matrices[:1].expand_as(matrices).clone())

    def forward(self, x: Columns, *earlier: Tensor) -> Columns:
        """Mix subspaces, then the units of every column."""
        own = super().forward(x)
        shape = [1, self.columns, *[1] * (own.ndim - 2)]
        mixed = self.layers[:, -1].view(shape) * own
        for number, unit in enumerate(earlier):
            mixed = mixed + self.layers[:, number].view(shape) * self.fitted(number, unit, own)
        return mixed

    def fitted(
        self, number: int, unit: Float[Tensor, "inputs columns examples *other"], like: Columns
    ) -> Float[Tensor, "inputs columns examples *fitted"]:
        """Fit what a column had behind an earlier unit to the shape of the last one."""
        if str(number) not in self.projections:
            return unit
        to, at = 3 + self.channel_dim, 3 + self.earlier_dims[number]
        rows = unit.movedim(at, 3).flatten(0, 2)  # (rows, channels, *positions)
        size = [n for dim, n in enumerate(like.shape) if dim > 2 and dim != to]
        if rows.ndim - 2 != len(size):
            rows = rows.flatten(2).mean(2) if rows.ndim > 2 else rows
            rows = rows.view(*rows.shape, *[1] * len(size))
        elif [*rows.shape[2:]] != size:
            pools: Any = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)
            rows = pools[len(size) - 1](rows, size)
        pooled = rows.unflatten(0, unit.shape[:3])
        matrices = self.projections[str(number)]
        return torch.einsum("tdc,itbc...->itbd...", matrices, pooled).movedim(3, to)


class Sluice(ColumnStrategy):
    """Each task has a column of weights; subspaces of columns are mixed, then units of each.

    Both mixtures are trained with the rest; a penalty keeps the subspaces of a column from reading
    the same. The preset ``paper`` starts as the published code does, with plain SGD.
    """

    Config: ClassVar[type[StrategyConfig]] = SluiceConfig
    config: SluiceConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "strategy": {
                "name": "sluice",
                "subspaces": 2,
                "own_weight": "balanced",
                "last_weight": 0.9,
                "penalty": 0.1,
                "optimizer": "sgd",
                "momentum": 0.0,
                "learning_rate": 0.1,
                "mixing_rate": 1.0,
            },
            "backbone": {"normalization": "task"},
        }
    }

    def mixers(
        self, backbone: Backbone, mixed: Sequence[int], columns: int
    ) -> dict[int, nn.Module]:
        """Mix subspaces behind every mixed unit, and the units themselves behind the last."""
        config = self.config
        shapes = [unit_shape(backbone, number) for number in mixed]
        for number, (shape, at) in zip(mixed, shapes, strict=True):
            name = backbone.units[number].name
            if shape[at] % config.subspaces:
                raise MtlError(
                    f"strategy.subspaces: the {shape[at]} channels of unit {name!r} cannot be cut "
                    f"into {config.subspaces} equal groups; {_those_that_fit(shapes)}"
                )
        size = columns * config.subspaces
        mixers: dict[int, nn.Module] = {
            number: SubspaceMixer(_start(config.own_weight, size), columns, at)
            for number, (_, at) in zip(mixed[:-1], shapes, strict=False)
        }
        layers = torch.full((columns, len(mixed)), 1 / len(mixed))
        if config.last_weight != "balanced" and len(mixed) > 1:
            layers.fill_((1 - config.last_weight) / (len(mixed) - 1))
            layers[:, -1] = config.last_weight
        start = _start(config.own_weight, size)
        mixers[mixed[-1]] = UnitMixer(start, layers, shapes, mixed[:-1])
        return mixers

    def build(self, backbone: Backbone, suite: Suite) -> ColumnNetworks:
        """Make columns and mixers, and measure the penalty once, which some units must have."""
        network = super().build(backbone, suite)
        if self.penalized:
            overlap_of(network, self.config.subspaces)
        last = list(network.mixers.values())[-1]
        if self.shared_start is not None and isinstance(last, UnitMixer):
            last.make_alike()
        return network

    @property
    def penalized(self) -> bool:
        """Say whether the overlap of subspaces costs anything."""
        return self.config.penalty > 0 and self.config.subspaces > 1

    def penalize(self) -> dict[str, Tensor]:
        """Add the gradient of the penalty."""
        last = list(self.network.mixers.values())[-1]
        shares = {"last_weight": last.get_parameter("layers").detach()[:, -1].mean()}
        if not self.penalized:
            return shares
        total = overlap_of(self.network, self.config.subspaces)
        torch.autograd.backward(self.config.penalty * total)
        return {"overlap": total.detach(), **shares}


def _those_that_fit(shapes: Sequence[tuple[Sequence[int], int]]) -> str:
    """Say which numbers of subspaces the channels of all mixed units can be cut into."""
    common = math.gcd(*(shape[at] for shape, at in shapes))
    fitting = [
        str(count) for count in range(1, min(common, _MOST_NAMED) + 1) if common % count == 0
    ]
    return f"those of all mixed units can be cut into {', '.join(fitting)}"


def _start(own: float | str, size: int) -> Float[Tensor, "to subspaces"]:
    """Return the weights of subspaces at the start; each row sums to one."""
    if isinstance(own, str) or size == 1:
        return torch.full((size, size), 1 / size)
    return torch.full((size, size), (1 - own) / (size - 1)).fill_diagonal_(own)


def overlap_of(network: ColumnNetworks, subspaces: int) -> Float[Tensor, ""]:
    """Say how much the subspaces of every column read in common, over all matrices that make them.

    Those are the convolutions and linear layers of a mixed unit whose outputs are as many channels
    as the unit's; convolutions of single channels, which read nothing in common, are left out. A
    unit without such a layer, a norm alone for one, has nothing to keep apart. See :func:`overlap`.

    Raises:
        MtlError: if no mixed unit has such a layer.
    """
    weights: list[Tensor] = []
    for bank in network.banks():
        if str(bank.unit) in network.mixers:
            shape, at = unit_shape(network.backbone, bank.unit)
            weights += _makers(bank.copies, shape[at])
    if not weights:
        names = ", ".join(network.backbone.units[int(unit)].name for unit in network.mixers)
        raise MtlError(
            f"strategy.penalty: of the mixed units ({names}) none has a layer (convolution or "
            "linear) that makes its channels, so there is nothing to keep apart; set it to 0"
        )
    return torch.stack([overlap(weight, subspaces) for weight in weights]).sum()


def overlap(weight: Float[Tensor, "outputs *inputs"], subspaces: int) -> Float[Tensor, ""]:
    """Compute the sum of ||G_p^T G_q||_F^2 over all pairs of subspaces.

    The columns of G_p are the weights with which the channels of subspace p read, so that the
    entries of the product are the inner products of a channel of p with one of q: 0 where all are
    orthogonal, and no matter in which order the channels of a subspace are.

    Args:
        weight: weight of a layer, whose outputs are cut into consecutive groups.
        subspaces: s, which divides the number of outputs.
    """
    parts = weight.flatten(1).chunk(subspaces)
    pairs = [(p @ q.T).square().sum() for p, q in combinations(parts, 2)]
    return torch.stack(pairs).sum()


def _makers(module: nn.Module, channels: int) -> list[Tensor]:
    kinds = nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d
    return [
        layer.weight
        for layer in module.modules()
        if isinstance(layer, kinds)
        and len(layer.weight) == channels
        and getattr(layer, "groups", 1) == 1
    ]
