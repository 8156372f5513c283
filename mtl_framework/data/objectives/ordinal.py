"""An ordinal task has one of several ordered levels for every row."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ...support.errors import MtlError
from ..metrics.metric import Metric
from ..metrics.numbers import level_metrics
from .base import Objective
from .binary import binary_losses
from .classification import check_classes


@dataclass(frozen=True)
class Ordinal(Objective):
    """The target is one of ``num_levels`` levels in order.

    The metric is the mean distance in levels.

    Logit k says whether the level is above k; a row's loss is the mean of the binary
    cross-entropies of its logits, and the predicted level is the number of positive logits (Niu et
    al., CVPR 2016, section 3.2, with equal weights for all thresholds).

    Args:
        num_levels: number of levels, at least 2.
        level_names: names of the levels, the lowest first; empty: predictions name level indices.

    Raises:
        MtlError: on fewer than two levels, or names that are not one a level.
    """

    num_levels: int
    level_names: tuple[str, ...] = ()
    metric: str = field(default="MAE levels", init=False)
    kind: ClassVar[str] = "ordinal"

    def __post_init__(self) -> None:
        if self.num_levels < 2:
            raise MtlError(f"num_levels should be at least 2, found {self.num_levels}")
        if self.level_names and len(self.level_names) != self.num_levels:
            raise MtlError(
                f"level_names should be {self.num_levels} names, found {len(self.level_names)}"
            )

    @property
    def num_outputs(self) -> int:  # type: ignore[override]
        """Return the number of thresholds between levels: a head has one logit for each."""
        return self.num_levels - 1

    def losses(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Return the binary cross-entropy of every row, averaged over its thresholds, in nats."""
        thresholds = torch.arange(self.num_outputs, device=targets.device)
        above = targets[:, None] > thresholds  # level 2 of 4: above 0 and 1, not above 2
        return binary_losses(outputs, above).mean(1)

    def scores(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Return the distance between predicted and true level."""
        return ((outputs > 0).sum(1) - targets).abs().float()

    def metrics(self) -> tuple[Metric, ...]:
        """Return the metrics of ordered levels."""
        return level_metrics(self.num_levels)

    def judged(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> tuple[Shaped[Tensor, " rows"], Shaped[Tensor, " rows"]]:
        """Return predicted and true levels."""
        return (outputs > 0).sum(1), targets

    @property
    def decodes(self) -> bool:
        """Return True, because predictions are levels, not logits of thresholds."""
        return True

    def decode(self, outputs: Float[Tensor, "rows outputs"]) -> Float[Tensor, "rows one"]:
        """Convert outputs to the predicted level, from 0."""
        return (outputs > 0).sum(1, keepdim=True).to(outputs.dtype)

    def describe(self, outputs: Float[Tensor, "rows outputs"]) -> list[dict[str, Any]]:
        """Say for every row its level and the level's name."""
        names = self.level_names or tuple(map(str, range(self.num_levels)))
        levels = (outputs > 0).sum(1).tolist()
        return [{"level": level, "class": names[level]} for level in levels]

    def check(self, targets: Tensor) -> None:
        """Raise an error unless levels are one whole number a row, 0 to ``num_levels - 1``."""
        check_classes(targets, self.num_levels)
