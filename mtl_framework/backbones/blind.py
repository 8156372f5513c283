"""Pixels that a model never reads are found out by running it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..support.errors import MtlError


@dataclass(frozen=True)
class BlindBorder:
    """A blind border is rows and columns of images that change nothing in a model's outputs.

    Args:
        size: height and width of the images.
        rows: number of rows that are not read, at top and bottom together.
        columns: number of columns that are not read, left and right together.
    """

    size: tuple[int, int]
    rows: int
    columns: int

    @property
    def share(self) -> float:
        """Share of the pixels that are not read, from 0 to 1."""
        height, width = self.size
        return 1 - (height - self.rows) * (width - self.columns) / (height * width)

    def __str__(self) -> str:
        height, width = self.size
        return (
            f"leaves {100 * self.share:.0f} % of the pixels of {height}x{width} images unread "
            f"({self.rows} rows and {self.columns} columns at the border)"
        )


def blind_border(
    model: nn.Module, inputs: Float[Tensor, "rows channels height width"]
) -> BlindBorder:
    """Find the border of images that a model does not read, by the gradient of its outputs.

    Weights that are all zero, as timm starts the last norm of a residual branch, count as if they
    were not: the branch reads pixels as soon as training moves them.

    Args:
        model: the model, in evaluation mode; unchanged afterwards.
        inputs: random images.
    """
    size = inputs.shape[2], inputs.shape[3]
    with torch.enable_grad(), _zeros_awake(model):
        images = inputs.detach().clone().requires_grad_()
        outputs = model(images.clone())  # a model may begin in place
        if not isinstance(outputs, Tensor) or not outputs.requires_grad:
            return BlindBorder(size, 0, 0)
        weights = torch.linspace(1, 2, outputs.numel(), dtype=outputs.dtype).view_as(outputs)
        (gradient,) = torch.autograd.grad((outputs * weights).sum(), images)
    read = (gradient != 0).any(0).any(0)
    if not bool(read.any()):
        return BlindBorder(size, 0, 0)  # outputs that are constant so far, as of zero weights
    return BlindBorder(size, _border(read.any(1)), _border(read.any(0)))


@contextmanager
def _zeros_awake(model: nn.Module) -> Iterator[None]:
    """Give parameters that are all zero other values until the block ends."""
    asleep = [p for p in model.parameters() if not bool(p.any())]
    with torch.no_grad():
        for parameter in asleep:
            values = torch.linspace(0.5, 1, parameter.numel()).to(parameter)
            parameter.copy_(values.view_as(parameter))
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter in asleep:
                parameter.zero_()


def check_pixels(name: str, border: BlindBorder, allowed: float) -> tuple[str, ...]:
    """Return hints about pixels that are not read.

    Args:
        name: name of the backbone.
        border: the border that it does not read.
        allowed: the largest share of the pixels that is not refused.

    Raises:
        MtlError: if the share is larger, with the sizes that fit.
    """
    if not border.share:
        return ()
    if border.share > allowed:
        height, width = (
            n - lost for n, lost in zip(border.size, (border.rows, border.columns), strict=True)
        )
        raise MtlError(
            f"backbone {name!r} {border}: resize the images, e.g. with suite.size, to a size that "
            f"its patches divide ({height}x{width} is what it reads now), or set "
            f"backbone.unread_pixels={border.share:.2f} to go on"
        )
    return (f"backbone {name!r} {border}",)


def _border(read: Bool[Tensor, " positions"]) -> int:
    """Return the numbers of positions before the first and behind the last one that is read."""
    positions = read.nonzero().flatten()
    return int(len(read) - (positions[-1] - positions[0] + 1))
