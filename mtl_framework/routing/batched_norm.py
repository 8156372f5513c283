"""Layers that run under ``torch.vmap`` normalise the rows of paths by plain operations."""

import torch
from jaxtyping import Float
from torch import Tensor

from .layout import RowLayout


def normalised_by_group(
    x: Float[Tensor, "rows channels *dims"],
    layout: RowLayout,
    weight: Float[Tensor, " channels"] | None,
    bias: Float[Tensor, " channels"] | None,
    eps: float,
) -> tuple[Float[Tensor, "rows channels *dims"], Float[Tensor, "2 groups channels"]]:
    """Normalise every group of rows by its own statistics.

    Nothing is written into a tensor that exists, so that any of these may stand for several.

    Args:
        x: rows in ``layout``.
        layout: layout of ``x``.
        weight: the scale of each channel.
        bias: the shift of each channel.
        eps: added to the (biased) variance.

    Returns:
        the rows, and every group's mean and unbiased variance, detached.
    """
    values = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    apart = layout.split_first(values)  # (examples, groups, n, channels, ...)
    apart = apart.flatten(4) if x.ndim > 2 else apart[..., None]
    mean = apart.mean((0, 2, 4), keepdim=True)
    centred = apart - mean
    var = centred.square().mean((0, 2, 4), keepdim=True)
    y = centred * (var + eps).rsqrt()
    if weight is not None:
        y = y * weight[:, None]
    if bias is not None:
        y = y + bias[:, None]
    count = apart.shape[0] * apart.shape[2] * apart.shape[4]
    unbiased = var.detach() * (count / max(count - 1, 1))
    statistics = torch.stack([mean.detach(), unbiased]).reshape(2, layout.groups, x.shape[1])
    return layout.join_first(y).reshape(x.shape).to(x.dtype), statistics
