"""Consecutive groups of rows are batch-normalised, each by its own statistics."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..batched import is_batched
from ..layout import channels_last


def path_batch_norm(
    x: Float[Tensor, "rows channels *dims"],
    weight: Float[Tensor, " channels"] | None,
    bias: Float[Tensor, " channels"] | None,
    mean: Float[Tensor, "groups channels"],
    var: Float[Tensor, "groups channels"],
    eps: float,
) -> Float[Tensor, "rows channels *dims"]:
    """Normalise G consecutive groups of rows, group by group.

    Contiguous rows and channels-last images stay as they lie, which on a CPU makes the latter
    several times faster than one call over G * C channels. Other layouts are copied.

    Args:
        x: rows in group-major order, the same number for each group.
        weight: the scale of each channel.
        bias: the shift of each channel.
        mean: receives every group's mean.
        var: receives every group's unbiased variance.
        eps: added to the (biased) variance.
    """
    # torch's kernel with an output to write to reads other layouts, such as tokens with their
    # channels innermost, as if they were contiguous
    if not channels_last(x):
        x = x.contiguous()
    y: Tensor = _PathBatchNorm.apply(x, weight, bias, mean, var, eps)
    return y


class _PathBatchNorm(torch.autograd.Function):
    """Normalise by torch's own kernels, one call a group, into one output."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        var: Tensor,
        eps: float,
    ) -> Tensor:
        groups = len(mean)
        saved_mean, saved_scale = torch.empty_like(mean), torch.empty_like(mean)
        y = torch.empty_like(x)
        for g, (part, out) in enumerate(zip(x.chunk(groups), y.chunk(groups), strict=True)):
            # a momentum of one makes the running averages this group's own statistics
            torch.ops.aten.native_batch_norm.out(
                part, weight, bias, mean[g], var[g], True, 1.0, eps,
                out=out, save_mean=saved_mean[g], save_invstd=saved_scale[g],
            )  # fmt: skip
        ctx.eps = eps
        ctx.save_for_backward(x, weight, saved_mean, saved_scale)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, weight, saved_mean, saved_scale = ctx.saved_tensors
        groups = len(saved_mean)
        needed = [ctx.needs_input_grad[0], weight is not None, weight is not None]
        batched = is_batched(gradient)
        if not batched and gradient.stride() != x.stride():
            gradient = torch.empty_like(x).copy_(gradient)
        below, by_weight, by_bias = torch.empty_like(x), None, None
        apart: list[Tensor] = []
        slices = zip(*(tensor.chunk(groups) for tensor in (x, gradient, below)), strict=True)
        for g, (part, above, out) in enumerate(slices):
            to_x, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
                above,
                part,
                weight,
                None,
                None,
                saved_mean[g],
                saved_scale[g],
                True,
                ctx.eps,
                needed,
            )
            if batched:
                apart.append(to_x)
            elif needed[0]:
                out.copy_(to_x)  # while it is in the cache
            if weight is not None:
                by_weight = to_weight if by_weight is None else by_weight + to_weight
                by_bias = to_bias if by_bias is None else by_bias + to_bias
        if batched and needed[0]:
            below = torch.cat(apart)
        return (below if needed[0] else None, by_weight, by_bias, None, None, None)
