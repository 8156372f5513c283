"""A map of numbers has one or several numbers at every pixel."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ....support.errors import MtlError
from ...metrics.maps import map_number_metrics
from ...metrics.metric import Metric
from .base import LossOfNumbers, MapObjective, Outputs, Pixels, Targets, check_shape


@dataclass(frozen=True)
class MapRegression(MapObjective):
    """This objective measures errors of one or several numbers at every pixel.

    The main metric is their RMSE.

    Targets are floats (N, num_targets, H, W). A pixel with a number that is not finite is unknown.

    Args:
        num_targets: how many numbers a pixel has, at least 1.
        loss: ``mse``, ``l1`` or ``smooth_l1`` (quadratic below 1), the mean over the numbers.

    Raises:
        MtlError: on less than one number.
    """

    num_targets: int = 1
    loss: LossOfNumbers = "mse"
    metric: str = field(default="RMSE", init=False)
    unknown: float = field(default=float("nan"), init=False)
    smooth: ClassVar[bool] = True
    kind: ClassVar[str] = "map_regression"
    main: ClassVar[str | None] = "rmse"
    of_training: ClassVar[frozenset[str]] = frozenset({"loss"})

    def __post_init__(self) -> None:
        if self.num_targets < 1:
            raise MtlError(f"num_targets should be at least 1, found {self.num_targets}")

    @property
    def num_outputs(self) -> int:  # type: ignore[override]
        """Return the number of numbers at a pixel: a head has one output for each."""
        return self.num_targets

    def known(self, targets: Targets) -> Bool[Tensor, "rows height width"]:
        """Return which pixels have a label, which are those with finite numbers only."""
        return torch.isfinite(targets).all(1)

    def pixel_losses(self, outputs: Outputs, targets: Targets) -> Pixels:
        """Return the chosen loss of every pixel, averaged over its numbers."""
        wanted = torch.where(torch.isfinite(targets), targets, 0).to(outputs.dtype)
        kinds = {"mse": F.mse_loss, "l1": F.l1_loss, "smooth_l1": F.smooth_l1_loss}
        return kinds[self.loss](outputs, wanted, reduction="none").mean(1)

    def pixel_scores(self, outputs: Outputs, targets: Targets) -> Pixels:
        """Return the squared error of every pixel, averaged over its numbers."""
        return ((outputs - targets.nan_to_num(0, 0, 0)) ** 2).mean(1)

    def summarize(self, mean_score: float) -> float:
        """Return the root of the mean squared error."""
        return math.sqrt(mean_score)

    def metrics(self) -> tuple[Metric, ...]:
        """Return the metrics of numbers, over all pixels with a label."""
        return map_number_metrics()

    def pixels(
        self, outputs: Outputs, targets: Targets, known: Bool[Tensor, "rows height width"]
    ) -> tuple[Float[Tensor, "pixels numbers"], Float[Tensor, "pixels numbers"]]:
        """Return predicted and true numbers of the known pixels."""
        given, wanted = outputs.double().movedim(1, -1), targets.double().movedim(1, -1)
        return given[known], wanted[known]

    def pictures(self, decoded: Outputs) -> Outputs:
        """Return the numbers as they are."""
        return decoded

    def check(self, targets: Tensor) -> None:
        """Raise an error unless maps have shape (N, num_targets, H, W), with some pixel known."""
        check_shape(targets, self.num_targets, "maps of numbers")
        self.check_some_known(targets)
