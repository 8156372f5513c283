"""The base class of objectives of maps, some of whose pixels may be unknown."""

from abc import abstractmethod
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from ....support.errors import MtlError
from ..base import Objective

Outputs = Float[Tensor, "rows outputs out_height out_width"]
Targets = Shaped[Tensor, "rows *channels height width"]
Pixels = Float[Tensor, "rows height width"]
Size = tuple[Any, Any]  # height and width: int, or torch.SymInt while a program is traced

Drawing = Literal["classes", "directions", "shares", "values"]


class MapObjective(Objective):
    """An objective over the pixels of maps, some of which may be unknown.

    Outputs are (rows, num_outputs, height, width). Where their size is not that of the targets,
    they are resized to it, bilinear. A row's loss is the mean over its known pixels, and 0 where it
    has none; metrics are over the known pixels of all rows together, never means over images.

    Attributes:
        drawing: what :meth:`pictures` gives, and pictures and reports therefore draw: numbers of
            classes, directions (unit vectors of three numbers), shares from 0 to 1, or values.
        unknown: the value of targets at pixels without a label.
        smooth: whether targets are numbers that can be averaged where maps are resized.
    """

    is_map: ClassVar[bool] = True
    smooth: ClassVar[bool] = False
    drawing: ClassVar[Drawing] = "values"
    unknown: float = 0.0

    @abstractmethod
    def known(self, targets: Targets) -> Bool[Tensor, "rows height width"]:
        """Return True for the pixels that have a label."""

    @abstractmethod
    def pixel_losses(self, outputs: Outputs, targets: Targets) -> Pixels:
        """Return the loss of every pixel, finite at unknown ones, too.

        Outputs have the height and width of the targets here.
        """

    @abstractmethod
    def pixel_scores(self, outputs: Outputs, targets: Targets) -> Pixels:
        """Return every pixel's contribution to ``metric``, where that is a mean over pixels."""

    @abstractmethod
    def pixels(
        self, outputs: Outputs, targets: Targets, known: Bool[Tensor, "rows height width"]
    ) -> tuple[Shaped[Tensor, "pixels ..."], Shaped[Tensor, "pixels ..."]]:
        """Return what metrics compare: predictions and targets of the known pixels."""

    @abstractmethod
    def pictures(self, decoded: Outputs) -> Shaped[Tensor, "rows ..."]:
        """Return what is drawn: class indices, values or directions, pixel by pixel."""

    def moved(
        self,
        targets: Shaped[Tensor, "..."],
        mirrored: bool = False,
        upside_down: bool = False,
        zoom: float = 1.0,
    ) -> Shaped[Tensor, "..."]:
        """Adapt the values of maps to a transform of their image that has already moved the pixels.

        Args:
            targets: maps of one image or of several.
            mirrored: whether left and right have changed places.
            upside_down: whether top and bottom have changed places.
            zoom: factor by which everything in the image has become larger.
        """
        return targets

    def on_scale(self, targets: Targets) -> Targets:
        """Bring numbers to the scale on which they are averaged when maps are resized.

        It is applied before and after averaging. Directions are brought to length 1.
        """
        return targets

    def losses(self, outputs: Outputs, targets: Targets) -> Float[Tensor, " rows"]:
        """Return the mean loss of every row's known pixels; 0 where there is none."""
        outputs = fitted(outputs, targets)
        return mean_of_known(self.pixel_losses(outputs, targets), self.known(targets))

    def scores(self, outputs: Outputs, targets: Targets) -> Float[Tensor, " rows"]:
        """Return the mean score of every row's known pixels; 0 where there is none."""
        outputs = fitted(outputs, targets)
        return mean_of_known(self.pixel_scores(outputs, targets), self.known(targets)).float()

    def judged(
        self, outputs: Outputs, targets: Targets
    ) -> tuple[Shaped[Tensor, "pixels ..."], Shaped[Tensor, "pixels ..."]]:
        """Return predictions and targets of the known pixels of all rows."""
        return self.pixels(fitted(outputs, targets), targets, self.known(targets))

    def describe(self, outputs: Outputs) -> list[dict[str, Any]]:
        """Say for every row the smallest, mean and largest value of its map."""
        flat = self.decode(outputs).double().cpu().flatten(1)
        return [
            {"smallest": float(row.min()), "mean": float(row.mean()), "largest": float(row.max())}
            for row in flat
        ]

    def check_some_known(self, targets: Targets) -> None:
        """Raise an error on targets of which no pixel has a label.

        Raises:
            MtlError: if no pixel of any map has a label.
        """
        if len(targets) and not any(bool(self.known(row[None]).any()) for row in targets):
            raise MtlError("no pixel of any map has a label")


def fitted(outputs: Outputs, targets: Targets) -> Float[Tensor, "rows outputs height width"]:
    """Resize outputs to the height and width of the targets."""
    return resized(outputs, (targets.shape[-2], targets.shape[-1]))


def resized(x: Float[Tensor, "_ _ _ _"], size: Size) -> Float[Tensor, "_ _ _ _"]:
    """Resize maps to (height, width), bilinear between the centres of pixels.

    A program that is being traced asks nothing of sizes, so that it is one for all of them.
    """
    if not torch.compiler.is_exporting() and x.shape[2:] == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def mean_of_known(values: Pixels, known: Bool[Tensor, "rows height width"]) -> Tensor:
    """Return the mean (rows,) over the known pixels of every row; 0 where there is none."""
    counted = torch.where(known, values, torch.zeros((), dtype=values.dtype, device=values.device))
    return counted.flatten(1).sum(1) / known.flatten(1).sum(1).clamp(min=1)


def check_shape(targets: Tensor, channels: int | None, what: str) -> None:
    """Raise an error on targets that are no maps with the given number of channels.

    Args:
        targets: the targets of a split.
        channels: number of channels; ``None``: maps without a dimension of channels.
        what: the kind of map, for errors.

    Raises:
        MtlError: naming the shape that was found.
    """
    wanted = "(N, H, W)" if channels is None else f"(N, {channels}, H, W)"
    right = targets.ndim == 3 if channels is None else targets.ndim == 4
    if not right or (channels is not None and targets.shape[1] != channels):
        raise MtlError(f"{what} should have shape {wanted}, found {tuple(targets.shape)}")


def check_whole(targets: Tensor, allowed: int, unknown: int, what: str) -> None:
    """Raise an error on maps with values other than 0 to ``allowed - 1`` and ``unknown``.

    Raises:
        MtlError: naming type, or example and value.
    """
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise MtlError(f"{what} should be whole numbers, found {targets.dtype}")
    repeated = len(targets) > 1 and targets.stride(0) == 0  # one row that stands for all
    for row, single in enumerate(targets[:1] if repeated else targets):
        values = single.long()
        wrong = ((values < 0) | (values >= allowed)) & (values != unknown)
        if bool(wrong.any()):
            value = int(values[wrong][0])
            raise MtlError(
                f"{what}: value {value} of example {row} is outside 0..{allowed - 1} and is not "
                f"{unknown}, which stands for no label"
            )


LossOfNumbers = Literal["l1", "mse", "smooth_l1"]
