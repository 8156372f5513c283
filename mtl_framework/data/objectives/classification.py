"""A classification has one of several classes for every row."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from ...support.errors import MtlError
from ..metrics.classes import class_metrics, recalls, reliability
from ..metrics.metric import Gathered, Metric, State
from .base import Objective, check_not_negative, check_share, first_row

MOST_DRAWN = 60  # classes whose confusion matrix a run keeps


@dataclass(frozen=True)
class Classification(Objective):
    """This objective is the cross-entropy over ``num_classes`` classes.

    The metric is the error in percent.

    Args:
        num_classes: number of classes.
        class_names: names of the classes, one each, all different; empty: predictions name class
            indices.
        label_smoothing: share of every target that is spread over all classes (Szegedy et al.,
            CVPR 2016, section 7).
        class_weights: factor of the loss of each class's rows; empty: 1. A batch's loss is the
            plain mean over its rows, not divided by their weights.
        focal_gamma: power of 1 - p by which losses are multiplied, p the probability of the right
            class (Lin et al., ICCV 2017, equation 4); 0: plain cross-entropy.

    Raises:
        MtlError: on fewer than two classes, on names that are too many, too few or alike, and on
            options out of range.
    """

    num_classes: int
    class_names: tuple[str, ...] = ()
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] = ()
    focal_gamma: float = 0.0
    metric: str = field(default="error %", init=False)
    kind: ClassVar[str] = "classification"
    of_training: ClassVar[frozenset[str]] = frozenset(
        {"label_smoothing", "class_weights", "focal_gamma"}
    )

    def __post_init__(self) -> None:
        if self.num_classes < 2:
            raise MtlError(f"num_classes should be at least 2, found {self.num_classes}")
        names = self.class_names
        if names and (len(names) != self.num_classes or len(set(names)) != len(names)):
            raise MtlError(
                f"class_names should be {self.num_classes} different names, found {len(names)}"
                f"{', some alike' if len(set(names)) != len(names) else ''}"
            )
        check_share("label_smoothing", self.label_smoothing)
        check_not_negative("focal_gamma", self.focal_gamma)
        weights = self.class_weights
        if weights and len(weights) != self.num_classes:
            raise MtlError(
                f"class_weights should be {self.num_classes} numbers, found {len(weights)}"
            )
        if weights and not (min(weights) >= 0 and 0 < sum(weights) < math.inf):
            raise MtlError(
                "class_weights should be numbers of at least 0, not all of them 0, found "
                f"{list(weights)}"
            )

    @property
    def num_outputs(self) -> int:  # type: ignore[override]
        """Return the number of classes: a head has one logit for each."""
        return self.num_classes

    def losses(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Return the cross-entropy of every row, in nats; targets may be shares of classes, too."""
        if targets.is_floating_point():
            targets = targets.to(outputs.dtype)
        weights = None
        if self.class_weights:
            weights = torch.tensor(self.class_weights, dtype=outputs.dtype, device=outputs.device)
        each = F.cross_entropy(
            outputs, targets, weights, reduction="none", label_smoothing=self.label_smoothing
        )
        if self.focal_gamma:
            right = outputs.log_softmax(1).gather(1, targets[:, None])[:, 0].exp()
            each = each * (1 - right).clamp(min=0) ** self.focal_gamma
        return each

    def scores(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> Float[Tensor, " rows"]:
        """Return 100 for rows whose most probable class is wrong, and 0 for others."""
        return (outputs.argmax(1) != targets).to(torch.float32) * 100

    def metrics(self) -> tuple[Metric, ...]:
        """Return the metrics of a classification."""
        return class_metrics(self.num_classes)

    def judged(
        self, outputs: Float[Tensor, "rows outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> tuple[Float[Tensor, "rows outputs"], Shaped[Tensor, "rows *dims"]]:
        """Return probabilities of the classes, and the true class indices."""
        return outputs.double().softmax(1), targets

    def details(self) -> Mapping[str, Callable[[], State]]:
        """The detail needs the confusion matrix, and all rows for the reliability diagram."""
        metrics = {metric.name: metric for metric in self.metrics()}
        return {"confusion": metrics["error"].make, "all": Gathered}

    def detail(self, computed: Mapping[str, Any]) -> dict[str, Any]:
        """Return names and recalls of the classes, the confusion matrix, and the reliability."""
        confidence, best = computed["all"][0].max(1)
        right = (best == computed["all"][1]).double()
        names = self.class_names or tuple(map(str, range(self.num_classes)))
        detail = {
            "classes": list(names),
            "accuracy": recalls(computed["confusion"]),
            "reliability": reliability(confidence, right),
        }
        if self.num_classes <= MOST_DRAWN:
            detail["confusion"] = computed["confusion"].tolist()
        return detail

    def probabilities(
        self, outputs: Float[Tensor, "rows outputs"]
    ) -> Float[Tensor, "rows outputs"]:
        """Return the softmax over the classes."""
        return outputs.softmax(1)

    def describe(self, outputs: Float[Tensor, "rows outputs"]) -> list[dict[str, Any]]:
        """Say for every row the most probable class and its probability."""
        probability, best = outputs.double().softmax(1).max(1)
        names = self.class_names or tuple(map(str, range(self.num_classes)))
        pairs = zip(best.tolist(), probability.tolist(), strict=True)
        return [{"class": names[number], "probability": value} for number, value in pairs]

    def check(self, targets: Tensor) -> None:
        """Raise an error unless labels are one whole number a row, 0 to ``num_classes - 1``."""
        check_classes(targets, self.num_classes)


def check_classes(targets: Tensor, classes: int) -> None:
    """Raise an error unless targets are class indices, int64 of shape (rows,).

    Raises:
        MtlError: naming shape and type, or the first label out of range.
    """
    if targets.dtype != torch.int64 or targets.ndim != 1:
        raise MtlError(
            f"class labels should be int64 of shape (N,), found {targets.dtype} "
            f"of shape {tuple(targets.shape)}"
        )
    if len(targets) and (targets.min() < 0 or targets.max() >= classes):
        row = first_row((targets < 0) | (targets >= classes))
        raise MtlError(f"label {targets[row].item()} of example {row} is outside 0..{classes - 1}")
