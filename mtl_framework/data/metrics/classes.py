"""Metrics of classes: predictions are probabilities (rows, classes), targets class indices."""

from functools import cache
from typing import Any

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from .metric import Gathered, Metric, State, mean_of_defined

BINS = 15  # of reliability diagrams and the calibration error
MOST_CURVES = 200  # classes above which curves of each are left out unless asked for

Gathering = tuple[Tensor, Tensor]


@cache
def class_metrics(classes: int) -> tuple[Metric, ...]:
    """Return the metrics of a classification, the default main one first."""

    def confusion() -> State:
        from torchmetrics.classification import MulticlassConfusionMatrix

        return MulticlassConfusionMatrix(classes)

    def hits() -> State:
        from torchmetrics.classification import MulticlassAccuracy

        return MulticlassAccuracy(classes, top_k=5, average="micro")

    def f1() -> State:
        from torchmetrics.classification import MulticlassF1Score

        return MulticlassF1Score(classes, average="macro")

    def auroc(rows: Gathering) -> float | None:
        from torchmetrics.functional.classification import multiclass_auroc

        return _of_present(multiclass_auroc(*rows, classes, average="none"), rows[1], classes)

    def precision(rows: Gathering) -> float | None:
        from torchmetrics.functional.classification import multiclass_average_precision

        each = multiclass_average_precision(*rows, classes, average="none")
        return _of_present(each, rows[1], classes)

    def calibration(rows: Gathering) -> float:
        from torchmetrics.functional.classification import multiclass_calibration_error

        return 100 * float(multiclass_calibration_error(*rows, classes, n_bins=BINS, norm="l1"))

    top5 = [Metric("top5", "top-5 accuracy %", hits, percent, "top5", 100.0)] if classes > 5 else []
    return (
        Metric("error", "error %", confusion, lambda m: 100 - accuracy(m), "confusion"),
        Metric("accuracy", "accuracy %", confusion, accuracy, "confusion", 100.0),
        *top5,
        Metric("balanced_accuracy", "balanced accuracy %", confusion, balanced, "confusion", 100.0),
        Metric("f1", "macro F1 %", f1, percent, "f1", 100.0),
        Metric("auroc", "macro AUROC %", Gathered, auroc, "all", 100.0),
        Metric("average_precision", "macro AP %", Gathered, precision, "all", 100.0),
        Metric("calibration_error", "calibration error %", Gathered, calibration, "all"),
    )


def percent(share: Tensor) -> float:
    """Convert a share from 0 to 1 to percent."""
    return 100 * float(share)


def accuracy(confusion: Int64[Tensor, "classes classes"]) -> float:
    """Return the accuracy in percent; ``confusion[true, predicted]`` counts rows."""
    return 100 * float(confusion.diagonal().sum()) / float(confusion.sum())


def recalls(confusion: Int64[Tensor, "classes classes"]) -> list[float | None]:
    """Return the recall of every class in percent, and ``None`` for classes without rows."""
    pairs = zip(confusion.diagonal().tolist(), confusion.sum(1).tolist(), strict=True)
    return [100 * right / rows if rows else None for right, rows in pairs]


def balanced(confusion: Int64[Tensor, "classes classes"]) -> float | None:
    """Return the mean recall over the classes that occur, in percent."""
    return mean_of_defined(recalls(confusion))


def reliability(
    confidences: Float64[Tensor, " rows"], right: Float64[Tensor, " rows"]
) -> dict[str, list[Any]]:
    """Count how often predictions of each confidence are right, in equal bins from 0 to 1.

    Returns:
        ``rows`` in every bin, their mean ``confidence`` and the share that is ``right``; the last
        two are ``None`` where a bin has no row.
    """
    inner = torch.linspace(0, 1, BINS + 1, dtype=torch.float64)[1:-1]
    number = torch.bucketize(confidences.double(), inner)
    rows = torch.bincount(number, minlength=BINS)
    sums = [torch.zeros(BINS, dtype=torch.float64).index_add(0, number, x.double())
            for x in (confidences, right)]  # fmt: skip
    means = [
        [t / n if n else None for t, n in zip(total.tolist(), rows.tolist(), strict=True)]
        for total in sums
    ]
    return {"rows": rows.tolist(), "confidence": means[0], "right": means[1]}


def _of_present(each: Tensor, targets: Tensor, classes: int) -> float | None:
    """Return the mean in percent over the classes that occur in some rows but not in all."""
    rows = torch.bincount(targets, minlength=classes)
    present = (rows > 0) & (rows < len(targets))
    value = mean_of_defined(each[present].tolist())
    return None if value is None else 100 * value
