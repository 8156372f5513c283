"""A map of normals has the direction of a surface at every pixel."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from ...metrics.maps import normal_metrics
from ...metrics.metric import Metric
from .base import Drawing, MapObjective, Outputs, Pixels, Targets, check_shape

NormalLoss = Literal["cosine", "l1"]


@dataclass(frozen=True)
class Normals(MapObjective):
    """This objective measures angles between directions at every pixel.

    The main metric is their mean.

    Targets are vectors, floats (N, 3, H, W), of any positive length; x points to the right, and y
    changes its sign where an image is turned upside down. Vectors of length 0 and those that are
    not finite are no label. In predictions outputs are normalised to length 1.

    Args:
        loss: ``cosine``: 1 - cosine of the angle; ``l1``: sum of absolute differences of the unit
            vectors.
    """

    loss: NormalLoss = "cosine"
    metric: str = field(default="mean angle °", init=False)
    num_outputs: int = field(default=3, init=False)
    smooth: ClassVar[bool] = True
    kind: ClassVar[str] = "normals"
    drawing: ClassVar[Drawing] = "directions"
    main: ClassVar[str | None] = "mean_angle"
    of_training: ClassVar[frozenset[str]] = frozenset({"loss"})

    def known(self, targets: Targets) -> Bool[Tensor, "rows height width"]:
        """Return True for pixels whose vector is finite and longer than 0."""
        return torch.isfinite(targets).all(1) & (targets != 0).any(1)

    def pixel_losses(self, outputs: Outputs, targets: Targets) -> Pixels:
        """Return the loss of every pixel that the option ``loss`` names."""
        given, wanted = unit(outputs), self._wanted(targets, outputs.dtype)
        if self.loss == "l1":
            return (given - wanted).abs().sum(1)
        return 1 - (given * wanted).sum(1)

    def pixel_scores(self, outputs: Outputs, targets: Targets) -> Pixels:
        """Return the angle between prediction and target at every pixel, in degrees."""
        return angles(unit(outputs), self._wanted(targets, outputs.dtype))

    def _wanted(self, targets: Targets, dtype: torch.dtype) -> Tensor:
        """Normalise targets to length 1; unknown ones become 0."""
        known = self.known(targets)[:, None]
        return unit(torch.where(known, targets, 0).to(dtype))

    @property
    def decodes(self) -> bool:
        """Return True, because predictions are outputs scaled to length 1."""
        return True

    def decode(self, outputs: Outputs) -> Outputs:
        """Normalise vectors to length 1."""
        return unit(outputs)

    def metrics(self) -> tuple[Metric, ...]:
        """Return the metrics of directions, over all pixels with a label."""
        return normal_metrics()

    def pixels(
        self, outputs: Outputs, targets: Targets, known: Bool[Tensor, "rows height width"]
    ) -> tuple[Float[Tensor, "pixels 3"], Float[Tensor, "pixels 3"]]:
        """Return predicted and true unit vectors of the known pixels."""
        wanted = self._wanted(targets, torch.float64)
        return unit(outputs.double()).movedim(1, -1)[known], wanted.movedim(1, -1)[known]

    def pictures(self, decoded: Outputs) -> Outputs:
        """Normalise vectors to length 1."""
        return decoded

    def moved(
        self,
        targets: Shaped[Tensor, "..."],
        mirrored: bool = False,
        upside_down: bool = False,
        zoom: float = 1.0,
    ) -> Shaped[Tensor, "..."]:
        """Negate x where the image is mirrored, y where it is turned upside down."""
        signs = [-1 if mirrored else 1, -1 if upside_down else 1, 1]
        sign = torch.tensor(signs, dtype=targets.dtype, device=targets.device)
        return targets * sign.view(3, 1, 1)

    def on_scale(self, targets: Targets) -> Targets:
        """Normalise vectors to length 1."""
        return unit(targets)

    def check(self, targets: Tensor) -> None:
        """Raise an error unless maps have shape (N, 3, H, W), with some pixel known."""
        check_shape(targets, 3, "maps of normals")
        self.check_some_known(targets)


def unit(vectors: Float[Tensor, "rows 3 height width"]) -> Float[Tensor, "rows 3 height width"]:
    """Normalise vectors to length 1; those of length 0 stay."""
    return F.normalize(vectors, dim=1, eps=1e-8)


def angles(
    given: Float[Tensor, "rows 3 height width"], wanted: Float[Tensor, "rows 3 height width"]
) -> Pixels:
    """Return angles between unit vectors, in degrees from 0 to 180, exact for small ones, too."""
    across = torch.linalg.cross(given, wanted, dim=1).norm(dim=1)
    return torch.atan2(across, (given * wanted).sum(1)).rad2deg()
