"""Batch normalisation and max-pooling are done in one: only each window's largest value is kept.

Normalising with a positive scale keeps the order of values, and so does ReLU. What max-pooling
would choose afterwards can thus be chosen before: normalisation and activation then run on the few
values that are left, and the gradient of the batch's statistics needs no map of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..batched import is_batched
from . import suits

_aten = torch.ops.aten
_Pair = tuple[int, int]


@dataclass(frozen=True)
class Pooling:
    """A max-pooling follows a normalisation, with or without ReLU between or behind the two.

    ``size``, ``stride``, ``padding`` and ``dilation`` of windows, each vertically and horizontally,
    and ``ceil_mode`` mean what they mean in :class:`torch.nn.MaxPool2d`.
    """

    size: _Pair
    stride: _Pair
    padding: _Pair
    dilation: _Pair
    ceil_mode: bool
    relu: bool

    def pool(
        self, x: Float[Tensor, "rows channels height width"]
    ) -> Float[Tensor, "rows channels pooled_height pooled_width"]:
        """Take the largest value of every window."""
        return F.max_pool2d(x, self.size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def activate(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Apply ReLU in place, if there is one."""
        return F.relu_(x) if self.relu else x

    @property
    def arguments(self) -> tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[int], bool]:
        """Arguments that torch's pooling kernels take behind their input."""
        return self.size, self.stride, self.padding, self.dilation, self.ceil_mode


def pooling_of(layers: Sequence[nn.Module]) -> tuple[Pooling, int] | None:
    """Return the pooling that ``layers`` begin with, and the number of layers it stands for."""
    relu = bool(layers) and type(layers[0]) is nn.ReLU
    pool = layers[int(relu)] if len(layers) > int(relu) else None
    if type(pool) is not nn.MaxPool2d or pool.return_indices:
        return None
    size, stride, padding, dilation = (
        _pair(value) for value in (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
    )
    return Pooling(size, stride, padding, dilation, pool.ceil_mode, relu), 1 + int(relu)


def keeps_order(x: Tensor, weight: Tensor | None) -> bool:
    """Say whether pooling images before they are normalised is allowed here, and quicker."""
    return (
        weight is not None
        and x.ndim == 4
        and suits(x.device)  # elsewhere the question would stop the device
        and x.dtype == weight.dtype
        and x.is_contiguous(memory_format=torch.channels_last)
        and not torch.compiler.is_compiling()
        and weight.min().item() > 0
    )


def pooled_path_norm(
    x: Float[Tensor, "rows channels height width"],
    weight: Float[Tensor, " channels"],
    bias: Float[Tensor, " channels"],
    mean: Float[Tensor, "groups channels"],
    var: Float[Tensor, "groups channels"],
    eps: float,
    pooling: Pooling,
) -> Float[Tensor, "rows channels pooled_height pooled_width"]:
    """Normalise G consecutive groups of rows, each by its own statistics, and pool them.

    The results are those of :func:`~mtl_framework.routing.cpu.path_norm.path_batch_norm` with
    ``pooling`` behind it, unless two values of a window are equal but for rounding.

    Args:
        x: rows in group-major order, the same number for each group, in channels-last format.
        weight: the scale of each channel, above zero.
        bias: the shift of each channel.
        mean: receives every group's mean.
        var: receives every group's unbiased variance.
        eps: added to the (biased) variance.
        pooling: the activation and pooling that follow.
    """
    y: Tensor = _PooledPathNorm.apply(x, weight, bias, mean, var, eps, pooling)
    return y


class _PooledPathNorm(torch.autograd.Function):
    """Statistics are of all values; everything else is computed for those that pooling leaves."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        var: Tensor,
        eps: float,
        pooling: Pooling,
    ) -> Tensor:
        groups = len(mean)
        # a momentum of one makes the running averages this group's own statistics
        statistics = [
            _aten.batch_norm_update_stats(*group, 1.0)
            for group in zip(x.chunk(groups), mean.unbind(), var.unbind(), strict=True)
        ]
        average, variance = (torch.stack(values) for values in zip(*statistics, strict=True))
        inverse = (variance + eps).rsqrt_()
        scale = inverse * weight
        shift = torch.addcmul(bias, average, scale, value=-1)
        largest, where = _aten.max_pool2d_with_indices(x, *pooling.arguments)
        y = torch.empty_like(largest)
        out, values = _by_channel(y, groups), _by_channel(largest, groups)
        torch.addcmul(shift[:, None], values, scale[:, None], out=out)
        if pooling.relu:
            F.relu_(y)
        ctx.pooling = pooling
        ctx.save_for_backward(x, average, inverse, scale, y, largest, where)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, average, inverse, scale, y, largest, where = ctx.saved_tensors
        groups, pooling = len(average), ctx.pooling
        batched = is_batched(gradient)
        if not batched and gradient.stride() != y.stride():
            gradient = torch.empty_like(y).copy_(gradient)
        if pooling.relu:
            gradient = _aten.threshold_backward(gradient, y, 0)
        above, values = _by_channel(gradient, groups), _by_channel(largest, groups)
        ones = above.new_ones(()).expand(groups, 1, above.shape[1])
        by_bias = torch.bmm(ones, above)[:, 0]  # sums as products: several times faster
        centred = values - average[:, None]
        centred = centred * above if batched else centred.mul_(above)
        by_weight = torch.bmm(ones, centred)[:, 0] * inverse
        below = None
        if ctx.needs_input_grad[0]:
            # scale * (what pooling hands down - its mean - normalised * mean of normalised * it)
            count = x.numel() // (groups * x.shape[1])
            slope = scale * by_weight * inverse / -count
            shift = scale * by_bias / -count - slope * average
            if batched:
                scaled = _by_rows(above * scale[:, None], y)
                below = _aten.max_pool2d_with_indices_backward(scaled, x, *pooling.arguments, where)
                full = _by_channel(below, groups)
                full = full + _by_channel(x, groups) * slope[:, None] + shift[:, None]
                below = _by_rows(full, x)
                return (below, by_weight.sum(0), by_bias.sum(0), None, None, None, None)
            below = torch.empty_like(x)
            scaled = torch.empty_like(y)
            torch.mul(above, scale[:, None], out=_by_channel(scaled, groups))
            _aten.max_pool2d_with_indices_backward.grad_input(
                scaled, x, *pooling.arguments, where, grad_input=below
            )
            full = _by_channel(below, groups)
            full.addcmul_(_by_channel(x, groups), slope[:, None]).add_(shift[:, None])
        return (below, by_weight.sum(0), by_bias.sum(0), None, None, None, None)


def _by_channel(
    x: Float[Tensor, "rows channels height width"], groups: int
) -> Float[Tensor, "groups values channels"]:
    """View channels-last rows as (groups, values, channels); copy several gradients at once."""
    permuted, shape = x.permute(0, 2, 3, 1), (groups, -1, x.shape[1])
    return permuted.reshape(shape) if is_batched(x) else permuted.view(shape)


def _by_rows(
    values: Float[Tensor, "groups values channels"], like: Tensor
) -> Float[Tensor, "rows channels height width"]:
    """Undo :func:`_by_channel`: give values the shape of other rows."""
    rows, channels, height, width = like.shape
    return values.reshape(rows, height, width, channels).permute(0, 3, 1, 2)


def _pair(value: Any) -> _Pair:
    first, second = value if isinstance(value, (tuple, list)) else (value, value)
    return int(first), int(second)
