"""A binary map has 0 or 1 at every pixel, e.g. for edges or saliency."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ...metrics.maps import binary_map_metrics
from ...metrics.metric import Metric
from ..base import check_not_negative
from ..binary import binary_losses
from .base import Drawing, MapObjective, Outputs, Pixels, Targets, check_shape, check_whole


@dataclass(frozen=True)
class BinaryMap(MapObjective):
    """This objective is the binary cross-entropy at every pixel.

    The main metric is the largest F over thresholds.

    Targets are whole numbers (N, H, W): 1, 0, or ``ignored``.

    Args:
        positive_weight: factor of the loss of pixels whose target is 1, e.g. above 1 for rare
            edges.
        ignored: the value of targets at pixels that do not count.

    Raises:
        MtlError: on a weight below 0 or infinite.
    """

    positive_weight: float = 1.0
    ignored: int = 255
    metric: str = field(default="pixel error %", init=False)
    num_outputs: int = field(default=1, init=False)
    kind: ClassVar[str] = "binary_map"
    drawing: ClassVar[Drawing] = "shares"
    main: ClassVar[str | None] = "max_f"
    of_training: ClassVar[frozenset[str]] = frozenset({"positive_weight"})

    def __post_init__(self) -> None:
        check_not_negative("positive_weight", self.positive_weight)

    @property
    def unknown(self) -> float:  # type: ignore[override]
        """Return the value that targets have at pixels without a label."""
        return float(self.ignored)

    def known(self, targets: Targets) -> Bool[Tensor, "rows height width"]:
        """Return which pixels have a label, 0 or 1."""
        return targets != self.ignored

    def pixel_losses(self, outputs: Outputs, targets: Targets) -> Pixels:
        """Return the binary cross-entropy of every pixel, in nats."""
        wanted = torch.where(self.known(targets), targets, 0)
        return binary_losses(outputs[:, 0], wanted, self.positive_weight)

    def pixel_scores(self, outputs: Outputs, targets: Targets) -> Pixels:
        """Return 100 for pixels with a logit of the wrong sign, and 0 for others."""
        return ((outputs[:, 0] > 0) != (targets > 0)).to(torch.float32) * 100

    def metrics(self) -> tuple[Metric, ...]:
        """Return the metrics of binary maps, over all pixels with a label."""
        return binary_map_metrics()

    def pixels(
        self, outputs: Outputs, targets: Targets, known: Bool[Tensor, "rows height width"]
    ) -> tuple[Float[Tensor, " pixels"], Int64[Tensor, " pixels"]]:
        """Return probabilities of 1, and targets."""
        return outputs[:, 0].double().sigmoid()[known], targets[known].long()

    def probabilities(self, outputs: Outputs) -> Outputs:
        """Return the probability of 1 at every pixel."""
        return outputs.sigmoid()

    def pictures(self, decoded: Outputs) -> Pixels:
        """Return the probability of 1 at every pixel."""
        return decoded[:, 0].sigmoid()

    def describe(self, outputs: Outputs) -> list[dict[str, Any]]:
        """Share of the pixels that are more probably 1."""
        share = (outputs > 0).double().flatten(1).mean(1).tolist()
        return [{"share of 1": value} for value in share]

    def check(self, targets: Tensor) -> None:
        """Raise an error unless maps hold 0, 1 and ``ignored``, with some pixel known."""
        check_shape(targets, None, "binary maps")
        check_whole(targets, 2, self.ignored, "binary maps")
        self.check_some_known(targets)
