"""A map of depths has a distance at every pixel."""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from ...metrics.maps import depth_metrics
from ...metrics.metric import Metric
from .base import MapObjective, Outputs, Pixels, Targets, check_shape

DepthLoss = Literal["l1", "berhu", "inverse"]
SMALLEST = 1e-3  # inverse depths are clamped to it before they are inverted


@dataclass(frozen=True)
class Depth(MapObjective):
    """This objective measures errors of distances, or of disparities, at every pixel.

    The main metric is their RMSE.

    Targets are floats (N, H, W). Zeros, negative values and what is not finite are no label.

    Args:
        loss: ``l1``: absolute error; ``berhu``: absolute up to c, (error² + c²) / 2c above, c a
            fifth of the row's largest error (Laina et al. 2016, arXiv 1606.00373, equation 4, who
            take the batch's); ``inverse``: the network gives 1 / depth, whose absolute error is the
            loss.
    """

    loss: DepthLoss = "l1"
    metric: str = field(default="RMSE", init=False)
    num_outputs: int = field(default=1, init=False)
    smooth: ClassVar[bool] = True
    kind: ClassVar[str] = "depth"
    main: ClassVar[str | None] = "rmse"
    of_training: ClassVar[frozenset[str]] = frozenset({"loss"})

    def known(self, targets: Targets) -> Bool[Tensor, "rows height width"]:
        """Return which pixels have a label, which is a positive, finite distance."""
        return (targets > 0) & torch.isfinite(targets)

    def pixel_losses(self, outputs: Outputs, targets: Targets) -> Pixels:
        """Return the chosen loss of every pixel; 0 where the depth is unknown."""
        known = self.known(targets)
        wanted = torch.where(known, targets, 1).to(outputs.dtype)
        given = outputs[:, 0]
        if self.loss == "inverse":
            return torch.where(known, (given - 1 / wanted).abs(), 0)
        error = torch.where(known, (given - wanted).abs(), 0)
        if self.loss == "l1":
            return error
        limit = 0.2 * error.detach().amax((1, 2), keepdim=True).clamp(min=1e-6)
        return torch.where(error <= limit, error, (error**2 + limit**2) / (2 * limit))

    def pixel_scores(self, outputs: Outputs, targets: Targets) -> Pixels:
        """Return the squared error of every pixel."""
        return (self.decode(outputs)[:, 0] - targets.nan_to_num(0, 0, 0)) ** 2

    def summarize(self, mean_score: float) -> float:
        """Return the root of the mean squared error."""
        return math.sqrt(mean_score)

    @property
    def decodes(self) -> bool:
        """Say whether outputs are inverse depths, so that predictions differ from them."""
        return self.loss == "inverse"

    def decode(self, outputs: Outputs) -> Outputs:
        """Return the distances that outputs stand for."""
        return 1 / outputs.clamp(min=SMALLEST) if self.decodes else outputs

    def metrics(self) -> tuple[Metric, ...]:
        """Return the metrics of distances, over all pixels with a label."""
        return depth_metrics()

    def pixels(
        self, outputs: Outputs, targets: Targets, known: Bool[Tensor, "rows height width"]
    ) -> tuple[Float[Tensor, " pixels"], Float[Tensor, " pixels"]]:
        """Return predicted and true distances of the known pixels."""
        return self.decode(outputs)[:, 0][known].double(), targets[known].double()

    def pictures(self, decoded: Outputs) -> Pixels:
        """Return the distances that outputs stand for."""
        return decoded[:, 0]

    def moved(
        self,
        targets: Shaped[Tensor, "..."],
        mirrored: bool = False,
        upside_down: bool = False,
        zoom: float = 1.0,
    ) -> Shaped[Tensor, "..."]:
        """Divide distances by the zoom: what looks twice as large is half as far away."""
        return targets / zoom

    def check(self, targets: Tensor) -> None:
        """Raise an error unless maps have shape (N, H, W), with some pixel known."""
        check_shape(targets, None, "maps of depth")
        self.check_some_known(targets)
