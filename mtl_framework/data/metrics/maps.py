"""Metrics of maps: over all known pixels of a split at once, never means over images or batches."""

import math
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
from jaxtyping import Float64, Int64, Shaped
from torch import Tensor

from .classes import accuracy, balanced
from .metric import Metric, State, mean_of_defined

THRESHOLDS = 255  # number of thresholds of the probability at which F is computed


@cache
def segmentation_metrics(classes: int) -> tuple[Metric, ...]:
    """Return the metrics of classes at pixels, computed from one confusion matrix."""

    def confusion() -> State:
        from torchmetrics.classification import MulticlassConfusionMatrix

        return MulticlassConfusionMatrix(classes)

    return (
        Metric("error", "pixel error %", confusion, lambda m: 100 - accuracy(m), "confusion"),
        Metric(
            "miou", "mIoU %", confusion, lambda m: mean_of_defined(unions(m)), "confusion", 100.0
        ),
        Metric("accuracy", "pixel accuracy %", confusion, accuracy, "confusion", 100.0),
        Metric("mean_accuracy", "class accuracy %", confusion, balanced, "confusion", 100.0),
    )


def unions(confusion: Int64[Tensor, "classes classes"]) -> list[float | None]:
    """Return the IoU of every class in percent; ``None`` if it neither occurs nor is predicted."""
    hits = confusion.diagonal()
    union = confusion.sum(0) + confusion.sum(1) - hits
    pairs = zip(hits.tolist(), union.tolist(), strict=True)
    return [100 * right / pixels if pixels else None for right, pixels in pairs]


@dataclass
class Errors:
    """Running sums of absolute, squared and relative errors over pixels, in double precision."""

    pixels: int = 0
    sums: Float64[Tensor, " sums"] = field(
        default_factory=lambda: torch.zeros(6, dtype=torch.float64)
    )

    def update(
        self, predictions: Shaped[Tensor, "pixels ..."], targets: Shaped[Tensor, "pixels ..."]
    ) -> None:
        """Add the errors of some pixels."""
        given, wanted = predictions.double(), targets.double()
        error = given - wanted
        parts = [error.abs().sum(), error.square().sum(), (error.abs() / wanted.abs()).sum()]
        ratio = torch.maximum(given / wanted, wanted / given)
        near = given > 0
        parts += [(near & (ratio < 1.25**power)).double().sum() for power in (1, 2, 3)]
        self.pixels += given.numel()
        self.sums = self.sums + torch.stack(parts).cpu()

    def compute(self) -> list[float]:
        """Return mean absolute, squared and relative error, and shares with ratio below 1.25ⁿ."""
        return (self.sums / max(self.pixels, 1)).tolist() if self.pixels else [math.nan] * 6


@cache
def depth_metrics() -> tuple[Metric, ...]:
    """Metrics of depth: errors in its unit, and shares of pixels with max(a / b, b / a) < 1.25ⁿ."""
    return (
        Metric("rmse", "RMSE", Errors, lambda means: math.sqrt(means[1]), "errors"),
        Metric("abs_error", "abs error", Errors, lambda means: means[0], "errors"),
        Metric("rel_error", "rel error", Errors, lambda means: means[2], "errors"),
        Metric("delta1", "δ < 1.25 %", Errors, lambda means: 100 * means[3], "errors", 100.0),
        Metric("delta2", "δ < 1.25² %", Errors, lambda means: 100 * means[4], "errors", 100.0),
        Metric("delta3", "δ < 1.25³ %", Errors, lambda means: 100 * means[5], "errors", 100.0),
    )


@cache
def map_number_metrics() -> tuple[Metric, ...]:
    """Return the metrics of numbers at pixels: RMSE and mean absolute error."""
    return (
        Metric("rmse", "RMSE", Errors, lambda means: math.sqrt(means[1]), "errors"),
        Metric("mae", "MAE", Errors, lambda means: means[0], "errors"),
    )


class Angles:
    """The angle of every pixel, in degrees: a median is of all pixels, not of batches' medians."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []

    def update(
        self, predictions: Float64[Tensor, "pixels 3"], targets: Float64[Tensor, "pixels 3"]
    ) -> None:
        """Add the angles between predicted and true unit vectors of some pixels."""
        across = torch.linalg.cross(predictions, targets).norm(dim=1)
        degrees = torch.atan2(across, (predictions * targets).sum(1)).rad2deg()
        self._parts.append(degrees.cpu().numpy().astype(np.float32))

    def compute(self) -> np.ndarray:
        """Return the angles of all pixels, in degrees."""
        return np.concatenate(self._parts) if self._parts else np.empty(0, np.float32)


@cache
def normal_metrics() -> tuple[Metric, ...]:
    """Metrics of directions: mean and median angle, shares within 11.25°, 22.5° and 30°."""

    def mean(degrees: np.ndarray) -> float | None:
        return float(degrees.mean(dtype=np.float64)) if len(degrees) else None

    def median(degrees: np.ndarray) -> float | None:
        return float(np.median(degrees)) if len(degrees) else None

    def within(limit: float) -> Metric:
        def share(degrees: np.ndarray) -> float | None:
            return 100 * float((degrees < limit).mean()) if len(degrees) else None

        name = f"within_{limit:g}".replace(".", "_")
        return Metric(name, f"within {limit:g}° %", Angles, share, "angles", 100.0)

    return (
        Metric("mean_angle", "mean angle °", Angles, mean, "angles"),
        Metric("median_angle", "median angle °", Angles, median, "angles"),
        *(within(limit) for limit in (11.25, 22.5, 30.0)),
    )


@cache
def binary_map_metrics() -> tuple[Metric, ...]:
    """Metrics of maps of 0 and 1: pixel error, largest F over thresholds, IoU at one half.

    The largest F is that of all pixels at one threshold for the whole split, without the tolerance
    of some pixels with which the benchmark of edges (BSDS, odsF) matches thinned edges: a stand-in
    for it, lower than it.
    """

    def curve() -> State:
        from torchmetrics.classification import BinaryPrecisionRecallCurve

        return BinaryPrecisionRecallCurve(thresholds=THRESHOLDS)

    def confusion() -> State:
        from torchmetrics.classification import BinaryConfusionMatrix

        return BinaryConfusionMatrix()

    def union(m: Tensor) -> float | None:
        return unions(m)[1]

    return (
        Metric("error", "pixel error %", confusion, lambda m: 100 - accuracy(m), "confusion"),
        Metric("max_f", "max F %", curve, _largest_f, "curve", 100.0),
        Metric("iou", "IoU %", confusion, union, "confusion", 100.0),
    )


def _largest_f(curve: tuple[Tensor, Tensor, Tensor]) -> float | None:
    precision, recall, _ = (part.double() for part in curve)
    both = precision + recall
    f = torch.where(both > 0, 2 * precision * recall / both.clamp(min=1e-12), 0)
    value = float(f.nan_to_num(0).max())
    return 100 * value if bool(torch.isfinite(recall).all()) else None
