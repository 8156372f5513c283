"""Convolutions and dense layers with an adapter beside them."""

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
    """Whether an adapter can stand beside a module: a convolution, not transposed, or dense."""
    if isinstance(module, nn.Linear):
        return True
    known = isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
    return known and isinstance(module.weight, nn.Parameter)


def kernel(layer: nn.Module) -> tuple[int, ...]:
    """Extents of a convolution's kernel; () for a dense layer."""
    return () if isinstance(layer, nn.Linear) else tuple(layer.kernel_size)  # type: ignore[arg-type]


def outputs_and_inputs(layer: nn.Module) -> tuple[int, int, int]:
    """Output channels, input channels that each of them reads, and groups of channels."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    groups = 1 if isinstance(layer, nn.Linear) else int(layer.groups)  # type: ignore[arg-type]
    return weight.shape[0], weight.shape[1], groups


class WeightAdapter(AdaptedLayer):
    """A layer whose weight W is that of the trunk plus a small matrix of this adapter's own.

    Args:
        layer: the layer as the trunk has it.
        dropout: share of the adapter's inputs that are left out in training.
    """

    def __init__(self, layer: nn.Module, dropout: float) -> None:
        super().__init__(layer)
        self.dropout = dropout

    @abstractmethod
    def change(self) -> Float[Tensor, "outputs inputs *kernel"]:
        """What is added to the trunk's weight."""

    @property
    def weight(self) -> Float[Tensor, "outputs inputs *kernel"]:
        """The weight in use, also for models that read it from their layers."""
        trunk = self.layer.weight
        assert isinstance(trunk, Tensor)
        return trunk + self.change()

    def forward(self, x: Float[Tensor, "rows *dims"]) -> Float[Tensor, "rows *out"]:
        """Apply the layer with the weight in use.

        With dropout the adapter reads another input than the trunk, in a call of its own.
        """
        if not (self.dropout and self.training):
            return _applied(self.layer, self.weight, x)
        trunk: Tensor = self.layer(x)
        bias = self.layer.bias
        zero = None if bias is None else torch.zeros_like(bias)  # type: ignore[arg-type]
        return trunk + _applied(self.layer, self.change(), F.dropout(x, self.dropout), zero)

    @torch.no_grad()
    def merged(self, task: int) -> Mapping[str, Tensor]:
        """State of the layer with the weight in use."""
        return {**self.layer.state_dict(), "weight": self.weight}


def _applied(layer: nn.Module, weight: Tensor, x: Tensor, zero: Tensor | None = None) -> Tensor:
    """Apply a layer with another weight, and a zero for its bias, where it is given."""
    if zero is None and type(layer) is nn.Linear:
        return F.linear(x, weight, layer.bias)
    if zero is None and type(layer) is nn.Conv2d:
        convolved: Tensor = layer._conv_forward(x, weight, layer.bias)
        return convolved
    state = {"weight": weight} | ({} if zero is None else {"bias": zero})
    applied: Tensor = functional_call(layer, state, x)
    return applied


class Parallel(WeightAdapter):
    """y = f * x + a * x: a 1x1 convolution a beside the trunk's f, with its stride and groups.

    The 1x1 convolution is the middle tap of the kernel, number (k - 1) // 2 of k in each direction,
    so that both are one convolution. A dense layer has a matrix of its own size beside it.

    Source: Rebuffi, Bilen and Vedaldi, CVPR 2018, arXiv 1803.10082.

    Attributes:
        alpha: (outputs, inputs of a group).
    """

    def __init__(
        self, layer: nn.Module, start: Start, dropout: float = 0.0, generator: Draws = None
    ) -> None:
        super().__init__(layer, dropout)
        outputs, inputs, _ = outputs_and_inputs(layer)
        self.alpha = nn.Parameter(_drawn(outputs, inputs, start, generator))

    def change(self) -> Float[Tensor, "outputs inputs *kernel"]:
        """The 1x1 convolution as the middle tap of a kernel of the trunk's size."""
        return middle_tap(self.alpha, kernel(self.layer))


def middle_tap(
    alpha: Float[Tensor, "outputs inputs"], extents: tuple[int, ...]
) -> Float[Tensor, "outputs inputs *kernel"]:
    """A kernel whose middle tap is a matrix, and whose other taps are zero."""
    pads = [side for k in reversed(extents) for side in ((k - 1) // 2, k // 2)]
    return F.pad(alpha.reshape(*alpha.shape, *[1] * len(extents)), pads) if pads else alpha


class LowRank(WeightAdapter):
    """W + scale * B A: a matrix of rank r beside the trunk's, as it lies in memory.

    A convolution's weight counts as a matrix of its outputs and of inputs times taps. B starts at
    zero, A as PyTorch's linear layers do, so that the layer starts as the trunk's.

    Source: Hu et al., "LoRA", ICLR 2022, arXiv 2106.09685.

    Attributes:
        down: A, (rank, inputs * taps).
        up: B, (outputs, rank).
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
        """The product of both matrices, scaled."""
        trunk = self.layer.weight
        assert isinstance(trunk, Tensor)
        return (self.scale * (self.up @ self.down)).view(trunk.shape)


class Series(AdaptedLayer):
    """y = u + a * BN(u) with u = f * x: a 1x1 convolution a behind the trunk's f.

    It has the trunk's groups of channels. In evaluation mode the norm is a scale and a shift of
    every channel, so that all is one convolution: (1 + a diag(scale)) f * x + a shift.

    Source: Rebuffi, Bilen and Vedaldi, NeurIPS 2017, arXiv 1705.08045; the form is that of the
    authors' code.

    Attributes:
        alpha: (outputs, outputs of a group).
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
            # tokens (rows, ..., channels) are rows of the norm
            normalised: Tensor = self.norm(u.flatten(0, -2)).view(u.shape)
            return u + F.linear(normalised, self.alpha)
        alpha = self.alpha.reshape(*self.alpha.shape, *[1] * len(extents))
        convolved = _CONVOLUTIONS[len(extents) - 1](self.norm(u), alpha, groups=self.groups)
        return u + convolved

    @torch.no_grad()
    def merged(self, task: int) -> Mapping[str, Tensor]:
        """State of the layer with the adapter in it; see :meth:`shift` for layers without bias."""
        state = dict(self.layer.state_dict())
        weight, bias = state["weight"], state.get("bias")
        scale, _ = self._scale_and_shift(task)
        state["weight"] = weight + self._mixed(scale.view(-1, *[1] * (weight.ndim - 1)) * weight)
        if bias is not None:
            state["bias"] = bias + self._mixed(scale * bias) + self.shift(task)
        return state

    @torch.no_grad()
    def shift(self, task: int) -> Float[Tensor, " outputs"]:
        """What the adapter adds to every output in evaluation mode, whatever the input."""
        return self._mixed(self._scale_and_shift(task)[1])

    def _scale_and_shift(self, task: int) -> tuple[Tensor, Tensor]:
        """The norm of one task in evaluation mode, channel by channel."""
        norm = self.norm
        parts = [norm.running_mean, norm.running_var, norm.weight, norm.bias]
        mean, var, weight, bias = (part for part in parts if isinstance(part, Tensor))
        if mean.ndim == 2:  # averages of every task's own
            mean, var = mean[task], var[task]
        scale = weight * (var + float(norm.eps)).rsqrt()  # type: ignore[arg-type]
        return scale, bias - mean * scale

    def _mixed(self, rows: Float[Tensor, "outputs *rest"]) -> Float[Tensor, "outputs *rest"]:
        """The adapter's matrix, group by group of channels, times a matrix with a row a channel."""
        flat = rows.reshape(self.groups, -1, rows[0].numel())
        matrices = self.alpha.view(self.groups, -1, self.alpha.shape[1])
        return torch.bmm(matrices, flat).view(rows.shape)


def _drawn(
    outputs: int, inputs: int, start: Start, generator: Draws
) -> Float[Tensor, "outputs inputs"]:
    """An adapter's matrix at the start: zero, or N(0, 2 / outputs) as the published code has it."""
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
    """A layer with an adapter of a kind beside it.

    Raises:
        MtlError: if a low-rank pair would be no smaller than the layer's own weight.
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
