"""A binary task has one label for every row, 0 or 1."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from ...support.errors import MtlError
from ..metrics.classes import recalls, reliability
from ..metrics.labels import binary_metrics
from ..metrics.metric import Gathered, Metric, State
from .base import Objective, check_not_negative, first_row


@dataclass(frozen=True)
class Binary(Objective):
    """This objective is the binary cross-entropy on one logit.

    Targets are 0 or 1; the metric is the error in percent.

    Args:
        positive_weight: factor by which the loss of rows whose target is 1 is multiplied.
        focal_gamma: power of 1 - p by which losses are multiplied, p the probability of the right
            answer (Lin et al., ICCV 2017, equation 4); 0: plain cross-entropy.

    Raises:
        MtlError: on an option out of range.
    """

    positive_weight: float = 1.0
    focal_gamma: float = 0.0
    metric: str = field(default="error %", init=False)
    num_outputs: int = field(default=1, init=False)
    kind: ClassVar[str] = "binary"
    of_training: ClassVar[frozenset[str]] = frozenset({"positive_weight", "focal_gamma"})

    def __post_init__(self) -> None:
        check_not_negative("positive_weight", self.positive_weight)
        check_not_negative("focal_gamma", self.focal_gamma)

    def losses(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Return the binary cross-entropy of every row, in nats."""
        return binary_losses(outputs[:, 0], targets, self.positive_weight, self.focal_gamma)

    def scores(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Return 100 for rows with a logit of the wrong sign, and 0 for others."""
        return ((outputs[:, 0] > 0) != (targets > 0.5)).to(torch.float32) * 100

    def metrics(self) -> tuple[Metric, ...]:
        """Return the metrics of a single binary label."""
        return binary_metrics()

    def judged(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> tuple[Float[Tensor, " rows"], Shaped[Tensor, " rows"]]:
        """Return probabilities of 1, and targets as whole numbers."""
        return outputs[:, 0].double().sigmoid(), (targets > 0.5).long()

    def details(self) -> Mapping[str, Callable[[], State]]:
        """The detail needs the confusion matrix, and all rows for the reliability diagram."""
        return {"confusion": self.metrics()[0].make, "all": Gathered}

    def detail(self, computed: Mapping[str, Any]) -> dict[str, Any]:
        """Return recalls, the confusion matrix, and how reliable the probability of 1 is."""
        probability, targets = computed["all"]
        return {
            "classes": ["0", "1"],
            "accuracy": recalls(computed["confusion"]),
            "confusion": computed["confusion"].tolist(),
            "reliability": reliability(probability, targets.double()),
        }

    def probabilities(
        self, outputs: Float[Tensor, "rows outputs"]
    ) -> Float[Tensor, "rows outputs"]:
        """Return the probability of 1 for every row."""
        return outputs.sigmoid()

    def describe(self, outputs: Float[Tensor, "rows outputs"]) -> list[dict[str, Any]]:
        """Say for every row the more probable answer and its probability."""
        values = outputs[:, 0].double().sigmoid().tolist()
        return [{"class": int(p > 0.5), "probability": max(p, 1 - p)} for p in values]

    def check(self, targets: Tensor) -> None:
        """Raise an error unless targets are 0 or 1, one a row."""
        if targets.ndim != 1:
            raise MtlError(f"binary targets should have shape (N,), found {tuple(targets.shape)}")
        wrong = (targets != 0) & (targets != 1)
        if bool(wrong.any()):
            row = first_row(wrong)
            raise MtlError(
                f"binary target {targets[row].item()} of example {row} is neither 0 nor 1"
            )


def binary_losses(
    logits: Float[Tensor, "*entries"],
    targets: Shaped[Tensor, "*entries"],
    positive_weight: float | Float[Tensor, " labels"] = 1.0,
    focal_gamma: float = 0.0,
) -> Float[Tensor, "*entries"]:
    """Return the binary cross-entropy of every entry, in nats.

    Args:
        logits: logits of target 1.
        targets: 0 or 1.
        positive_weight: factor of the loss where the target is 1, one number or one a label.
        focal_gamma: power of 1 - p by which losses are multiplied, p the probability of the right
            answer; 0: plain cross-entropy.
    """
    wanted = targets.to(logits.dtype)
    # nothing here looks at a tensor's values, which would wait for a GPU
    if isinstance(positive_weight, Tensor):
        weight: Tensor | None = positive_weight.to(logits, non_blocking=True)
    else:
        weight = None if positive_weight == 1 else logits.new_full((), positive_weight)
    each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none", pos_weight=weight)
    if focal_gamma:
        right = torch.where(wanted > 0.5, logits, -logits).sigmoid()
        each = each * (1 - right).clamp(min=0) ** focal_gamma
    return each
