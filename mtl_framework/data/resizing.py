"""Maps are moved to another grid of pixels: labels take the nearest one, numbers are averaged.

A place on an axis is counted in pixels from the border: pixel j reaches from j to j + 1.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from .objectives import MapObjective


@dataclass(frozen=True)
class Axis:
    """Places on one axis of an image move to ``scale`` times the old place + ``offset``.

    Args:
        scale: number of new pixels for each old one, negative where the axis is mirrored.
        offset: shift in new pixels.
        old: length in old pixels.
        new: length in new pixels.
    """

    scale: float
    offset: float
    old: int
    new: int

    @property
    def whole(self) -> bool:
        """Say whether every new pixel coincides with exactly one old pixel."""
        return abs(self.scale) == 1 and self.offset == round(self.offset)

    def centres(self) -> Float[Tensor, " new"]:
        """Return where the centres of the new pixels lay before, in old pixels."""
        middles = torch.arange(self.new, dtype=torch.float64) + 0.5
        return (middles - self.offset) / self.scale

    def nearest(self) -> Int64[Tensor, " new"]:
        """Return the old pixel in which the centre of every new one lies; -1: in none."""
        pixels = self.centres().floor().long()
        return torch.where((pixels < 0) | (pixels >= self.old), -1, pixels)

    def weights(self) -> Float[Tensor, "new old"]:
        """Return the weight of every old pixel in the mean for every new one.

        The weight falls linearly with the distance from the new pixel's centre and is 0 from one
        pixel on, an old or a new one, whichever is larger. Where four pixels become two, the first
        one's weights are 3/4, 3/4, 1/4 and 0, each divided by their sum 7/4: the numbers 0, 1, 2, 3
        become 5/7 and 16/7.
        """
        reach = max(1.0, 1 / abs(self.scale))
        middles = torch.arange(self.old, dtype=torch.float64) + 0.5
        near = 1 - (middles - self.centres()[:, None]).abs() / reach
        weights = near.clamp(min=0)
        return weights / weights.sum(1, keepdim=True).clamp(min=1e-12)


def moved_map(
    objective: MapObjective | None,
    target: Shaped[Tensor, "*channels old_height old_width"],
    down: Axis,
    across: Axis,
) -> Shaped[Tensor, "*channels height width"]:
    """Move the pixels of a map; those from outside are unknown.

    A pixel is known where the nearest old one is. Maps of numbers (:attr:`MapObjective.smooth`)
    are then averaged over the old pixels around it that are known.

    Args:
        objective: the objective of the task; ``None``: the map takes the nearest pixels, and none
            may come from outside.
        target: the map.
        down: the axis of rows.
        across: the axis of columns.
    """
    rows, columns = down.nearest().to(target.device), across.nearest().to(target.device)
    nearest = target.index_select(-2, rows.clamp(min=0)).index_select(-1, columns.clamp(min=0))
    if objective is None:
        return nearest
    inside = (rows >= 0)[:, None] & (columns >= 0)
    blank = torch.full_like(nearest, objective.unknown)
    if not objective.smooth or (down.whole and across.whole):
        return torch.where(inside, nearest, blank)
    known = objective.known(target[None])[0]
    averaged = _averaged(objective, target, known, down, across)
    wanted = inside & objective.known(nearest[None])[0]
    return torch.where(wanted, averaged, torch.where(inside, nearest, blank))


def _averaged(
    objective: MapObjective,
    target: Shaped[Tensor, "*channels old_height old_width"],
    known: Bool[Tensor, "old_height old_width"],
    down: Axis,
    across: Axis,
) -> Shaped[Tensor, "*channels height width"]:
    """Return the weighted means of the known old pixels around every new one."""
    left = down.weights().to(target)
    right = across.weights().to(target).T
    plain = torch.where(known, target, torch.zeros_like(target))
    plain = objective.on_scale(plain[None])[0]
    weight = left @ known.to(target) @ right
    means = left @ plain @ right / weight.clamp(min=1e-12)
    return objective.on_scale(means[None])[0]


def resize_map(
    target: Shaped[Tensor, "*channels old_height old_width"],
    size: tuple[int, int],
    objective: MapObjective | None = None,
) -> Shaped[Tensor, "*channels height width"]:
    """Resize a map to another height and width.

    Maps of numbers are averaged over pixels with a label, and have a label where the nearest pixel
    has one; other maps take the nearest pixel.

    Args:
        target: the map of one image.
        size: height and width.
        objective: says which pixels have a label, and whether the map is one of numbers; ``None``:
            it is not.
    """
    down, across = (
        Axis(new / old, 0.0, old, new) for old, new in zip(target.shape[-2:], size, strict=True)
    )
    return moved_map(objective, target, down, across)


def zoom_of(down: Axis, across: Axis) -> float:
    """Return the factor by which things become larger: the geometric mean of both axes' scales."""
    return math.sqrt(abs(down.scale * across.scale))
