"""This module has convolutions and dense layers with an adapter beside them."""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from mtl_framework import AdaptedLayer, MtlError

Kind = Literal["parallel", "series", "low_rank", "norms"]
Start = Literal["zero", "normal"]
Draws = torch.Generator | None

_NORMS: dict[int, Callable[[int], nn.Module]] = {
    1: nn.BatchNorm1d,
    2: nn.BatchNorm1d,
    3: nn.BatchNorm2d,
    4: nn.BatchNorm3d,
}
_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)


def is_layer(module: nn.Module) -> bool:
    """Say whether an adapter can stand beside a module.

    That holds for dense layers, and for convolutions that are not transposed.
    """
    if isinstance(module, nn.Linear):
        return True
    known = isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
    return known and isinstance(module.weight, nn.Parameter)


def kernel(layer: nn.Module) -> tuple[int, ...]:
    """Return the extents of a convolution's kernel, e.g. (3, 3), or () for a dense layer."""
    return () if isinstance(layer, nn.Linear) else tuple(layer.kernel_size)  # type: ignore[arg-type]


def outputs_and_inputs(layer: nn.Module) -> tuple[int, int, int]:
    """Return the number of output channels, of inputs that each one reads, and of groups.

    A convolution of 8 to 16 channels in 2 groups gives (16, 4, 2): each output reads 8 / 2 inputs.
    """
    weight = layer.weight
    assert isinstance(weight, Tensor)
    groups = 1 if isinstance(layer, nn.Linear) else int(layer.groups)  # type: ignore[arg-type]
    return weight.shape[0], weight.shape[1], groups


class WeightAdapter(AdaptedLayer):
    """A weight adapter is a layer whose weight is the trunk's plus a change of the adapter's own.

    Args:
        layer: the trunk's layer, which adapters of all tasks share.
        dropout: probability with which an input of the adapter is set to zero in training.
    """

    def __init__(self, layer: nn.Module, dropout: float) -> None:
        super().__init__(layer)
        self.dropout = dropout

    @abstractmethod
    def change(self) -> Float[Tensor, "outputs inputs *kernel"]:
        """Return what is added to the trunk's weight."""

    @property
    def weight(self) -> Float[Tensor, "outputs inputs *kernel"]:
        """Return trunk's weight plus change, also to models that read their layers' weights."""
        trunk = self.layer.weight
        assert isinstance(trunk, Tensor)
        return trunk + self.change()

    def forward(self, x: Float[Tensor, "rows *dims"]) -> Float[Tensor, "rows *out"]:
        """Apply the layer with the sum of the trunk's weight and the change.

        With dropout in training the adapter reads another input than the trunk, so that the trunk's
        weight and the change are applied in two calls, whose outputs are added.
        """
        if not (self.dropout and self.training):
            return _applied(self.layer, self.weight, x)
        trunk: Tensor = self.layer(x)
        bias = self.layer.bias
        zero = None if bias is None else torch.zeros_like(bias)  # type: ignore[arg-type]
        return trunk + _applied(self.layer, self.change(), F.dropout(x, self.dropout), zero)

    @torch.no_grad()
    def merged(self, task: int) -> Mapping[str, Tensor]:
        """Return the state of a plain layer that computes the same as layer and adapter."""
        return {**self.layer.state_dict(), "weight": self.weight}


def _applied(layer: nn.Module, weight: Tensor, x: Tensor, zero: Tensor | None = None) -> Tensor:
    """Apply a layer with another weight, and with ``zero`` as its bias where that is given."""
    if zero is None and type(layer) is nn.Linear:
        return F.linear(x, weight, layer.bias)
    if zero is None and type(layer) is nn.Conv2d:
        convolved: Tensor = layer._conv_forward(x, weight, layer.bias)
        return convolved
    state = {"weight": weight} | ({} if zero is None else {"bias": zero})
    applied: Tensor = functional_call(layer, state, x)
    return applied


class Parallel(WeightAdapter):
    """A parallel adapter computes y = f * x + a * x: a 1x1 convolution a beside the trunk's f.

    The 1x1 convolution has stride and groups of f. It is added to the middle tap of f's kernel,
    number (k - 1) // 2 of k in each direction counted from 0, so that both are one convolution.
    Beside a dense layer stands a matrix of the size of the layer's weight.

    Source: Rebuffi, Bilen and Vedaldi, CVPR 2018, arXiv 1803.10082.

    Attributes:
        alpha: weight of the 1x1 convolution (outputs, inputs of a group).
    """

    def __init__(
        self, layer: nn.Module, start: Start, dropout: float = 0.0, generator: Draws = None
    ) -> None:
        super().__init__(layer, dropout)
        outputs, inputs, _ = outputs_and_inputs(layer)
        self.alpha = nn.Parameter(_drawn(outputs, inputs, start, generator))

    def change(self) -> Float[Tensor, "outputs inputs *kernel"]:
        """Return the 1x1 convolution as a kernel of the trunk's size, zero but for its middle."""
        return middle_tap(self.alpha, kernel(self.layer))


def middle_tap(
    alpha: Float[Tensor, "outputs inputs"], extents: tuple[int, ...]
) -> Float[Tensor, "outputs inputs *kernel"]:
    """Return a kernel whose middle tap is a matrix, and whose other taps are zero.

    ``F.pad`` takes the last dimension first. For a kernel of 3 x 4 taps the pads are (1, 2, 1, 1):
    one zero before and two behind in the row of 4 taps, then one before and one behind in the
    column of 3, which puts the matrix at tap (1, 1).
    """
    pads = [side for k in reversed(extents) for side in ((k - 1) // 2, k // 2)]
    return F.pad(alpha.reshape(*alpha.shape, *[1] * len(extents)), pads) if pads else alpha


class LowRank(WeightAdapter):
    """A low-rank adapter changes the trunk's weight W to W + scale * B A, with B A of rank r.

    A convolution's weight (outputs, inputs, taps) counts as a matrix (outputs, inputs * taps). B
    starts at zero and A as PyTorch's linear layers do, so that the layer starts as the trunk's.

    Source: Hu et al., "LoRA", ICLR 2022, arXiv 2106.09685.

    Attributes:
        down: the matrix A (rank, inputs * taps).
        up: the matrix B (outputs, rank).
    """

    def __init__(
        self,
        layer: nn.Module,
        rank: int,
        scale: float,
        dropout: float = 0.0,
        generator: Draws = None,
    ) -> None:
        super().__init__(layer, dropout)
        outputs, inputs, _ = outputs_and_inputs(layer)
        columns = inputs * math.prod(kernel(layer))
        self.scale = scale
        self.down = nn.Parameter(torch.empty(rank, columns))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5), generator=generator)
        self.up = nn.Parameter(torch.zeros(outputs, rank))

    def change(self) -> Float[Tensor, "outputs inputs *kernel"]:
        """Return scale * B A in the shape of the trunk's weight."""
        trunk = self.layer.weight
        assert isinstance(trunk, Tensor)
        return (self.scale * (self.up @ self.down)).view(trunk.shape)


class Series(AdaptedLayer):
    """A series adapter computes y = u + a * BN(u) with u = f * x: a 1x1 convolution a behind f.

    The 1x1 convolution has as many groups of channels as the trunk's f. In evaluation mode the
    batch norm BN multiplies every channel by a scale and adds a shift, so that trunk and adapter
    are one convolution: y = (1 + a diag(scale)) f * x + a shift.

    Source: Rebuffi, Bilen and Vedaldi, NeurIPS 2017, arXiv 1705.08045; the equation is that of the
    authors' code.

    Attributes:
        alpha: weight of the 1x1 convolution (outputs, outputs of a group).
        norm: the batch norm BN.
    """

    def __init__(self, layer: nn.Module, start: Start, generator: Draws = None) -> None:
        super().__init__(layer)
        outputs, _, self.groups = outputs_and_inputs(layer)
        self.alpha = nn.Parameter(_drawn(outputs, outputs // self.groups, start, generator))
        extents = kernel(layer)
        self.norm = _NORMS[len(extents) + 1 if extents else 1](outputs)

    def forward(self, x: Float[Tensor, "rows *dims"]) -> Float[Tensor, "rows *out"]:
        """Apply the layer, then the adapter."""
        u: Tensor = self.layer(x)
        extents = kernel(self.layer)
        if not extents:
            # the norm takes tokens (rows, ..., channels) as a matrix (rows * ..., channels)
            normalised: Tensor = self.norm(u.flatten(0, -2)).view(u.shape)
            return u + F.linear(normalised, self.alpha)
        alpha = self.alpha.reshape(*self.alpha.shape, *[1] * len(extents))
        convolved = _CONVOLUTIONS[len(extents) - 1](self.norm(u), alpha, groups=self.groups)
        return u + convolved

    @torch.no_grad()
    def merged(self, task: int) -> Mapping[str, Tensor]:
        """Return the state of a plain layer that computes the same in evaluation mode.

        A layer without bias has no place for :meth:`shift`, which the caller puts elsewhere.

        Args:
            task: position of the task whose running averages the norm uses, if it has several.
        """
        state = dict(self.layer.state_dict())
        weight, bias = state["weight"], state.get("bias")
        scale, _ = self._scale_and_shift(task)
        state["weight"] = weight + self._mixed(scale.view(-1, *[1] * (weight.ndim - 1)) * weight)
        if bias is not None:
            state["bias"] = bias + self._mixed(scale * bias) + self.shift(task)
        return state

    @torch.no_grad()
    def shift(self, task: int) -> Float[Tensor, " outputs"]:
        """Return what the adapter adds to each output channel in evaluation mode, for any input.

        Args:
            task: position of the task whose running averages the norm uses, if it has several.
        """
        return self._mixed(self._scale_and_shift(task)[1])

    def _scale_and_shift(self, task: int) -> tuple[Tensor, Tensor]:
        """Return scale and shift (outputs) of a task's norm in evaluation mode."""
        norm = self.norm
        parts = [norm.running_mean, norm.running_var, norm.weight, norm.bias]
        mean, var, weight, bias = (part for part in parts if isinstance(part, Tensor))
        if mean.ndim == 2:  # every task has its own averages: (tasks, outputs)
            mean, var = mean[task], var[task]
        scale = weight * (var + float(norm.eps)).rsqrt()  # type: ignore[arg-type]
        return scale, bias - mean * scale

    def _mixed(self, rows: Float[Tensor, "outputs *rest"]) -> Float[Tensor, "outputs *rest"]:
        """Multiply the adapter's matrix, group by group, with a matrix of one row per channel.

        With 6 channels in 2 groups alpha[:3] mixes rows 0 to 2, and alpha[3:] mixes rows 3 to 5.
        """
        flat = rows.reshape(self.groups, -1, rows[0].numel())
        matrices = self.alpha.view(self.groups, -1, self.alpha.shape[1])
        return torch.bmm(matrices, flat).view(rows.shape)


def _drawn(
    outputs: int, inputs: int, start: Start, generator: Draws
) -> Float[Tensor, "outputs inputs"]:
    """Return an adapter's matrix at the start: zeros, or draws from N(0, 2 / outputs)."""
    if start == "zero":
        return torch.zeros(outputs, inputs)
    return torch.randn(outputs, inputs, generator=generator) * math.sqrt(2 / outputs)


def adapted(
    kind: Kind,
    layer: nn.Module,
    *,
    start: Start,
    rank: int,
    scale: float,
    dropout: float,
    generator: Draws,
) -> AdaptedLayer:
    """Put an adapter beside a layer.

    Args:
        kind: kind of the adapter; anything but parallel and series makes a low-rank one.
        layer: the trunk's layer.
        start: how the 1x1 convolution of a parallel or series adapter starts.
        rank: rank of a low-rank adapter.
        scale: factor of a low-rank adapter.
        dropout: probability with which an input of the adapter is set to zero in training.
        generator: source of random starting values.

    Raises:
        MtlError: if ``rank`` is higher than the rank that the layer's weight can have.
    """
    if kind == "parallel":
        return Parallel(layer, start, dropout, generator)
    if kind == "series":
        return Series(layer, start, generator)
    outputs, inputs, _ = outputs_and_inputs(layer)
    most = min(outputs, inputs * math.prod(kernel(layer)))
    if rank > most:
        raise MtlError(
            f"strategy.rank should be at most {most}, which is the rank of a layer of "
            f"{outputs} x {inputs} channels, found {rank}; strategy.layers can leave it out"
        )
    return LowRank(layer, rank, scale, dropout, generator)
