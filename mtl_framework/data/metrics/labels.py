"""Metrics of binary labels: one a row, or several a row of which some may be unknown."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from .classes import BINS, accuracy, balanced, percent
from .metric import Gathered, Metric, State, mean_of_defined

UNKNOWN = -1

Gathering = tuple[Tensor, Tensor]


@cache
def binary_metrics() -> tuple[Metric, ...]:
    """Return the metrics of one label: predictions are probabilities (rows,), targets 0 or 1."""

    def confusion() -> State:
        from torchmetrics.classification import BinaryConfusionMatrix

        return BinaryConfusionMatrix()

    def calibration(rows: Gathering) -> float:
        from torchmetrics.functional.classification import binary_calibration_error

        return 100 * float(binary_calibration_error(*rows, n_bins=BINS, norm="l1"))

    return (
        Metric("error", "error %", confusion, lambda m: 100 - accuracy(m), "confusion"),
        Metric("accuracy", "accuracy %", confusion, accuracy, "confusion", 100.0),
        Metric("balanced_accuracy", "balanced accuracy %", confusion, balanced, "confusion", 100.0),
        Metric("f1", "F1 %", confusion, _f1, "confusion", 100.0),
        Metric("auroc", "AUROC %", Gathered, lambda rows: _auroc(*rows), "all", 100.0),
        Metric("average_precision", "AP %", Gathered, lambda rows: _ap(*rows), "all", 100.0),
        Metric("calibration_error", "calibration error %", Gathered, calibration, "all"),
    )


@cache
def multi_label_metrics() -> tuple[Metric, ...]:
    """Return the metrics of several labels a row: predictions and targets are (rows, labels).

    Targets are 0, 1, or -1 where nothing is known; those entries do not count.
    """
    return (
        Metric("error", "label error %", Gathered, lambda f: 100 - _label_accuracy(f), "all"),
        Metric("accuracy", "label accuracy %", Gathered, _label_accuracy, "all", 100.0),
        Metric("exact_match", "exact match %", Gathered, _exact, "all", 100.0),
        Metric("f1", "macro F1 %", Gathered, _each(_label_f1), "all", 100.0),
        Metric("auroc", "macro AUROC %", Gathered, _each(_auroc), "all", 100.0),
        Metric("average_precision", "mean AP %", Gathered, _each(_ap), "all", 100.0),
    )


def _f1(confusion: Tensor) -> float | None:
    """Return F1 in percent, or ``None`` if the label neither occurs nor is predicted."""
    wrong, right = int(confusion[0, 1] + confusion[1, 0]), int(confusion[1, 1])
    return 200 * right / (2 * right + wrong) if right + wrong else None


def _auroc(predictions: Tensor, targets: Tensor) -> float | None:
    from torchmetrics.functional.classification import binary_auroc

    both = 0 < int(targets.sum()) < len(targets)
    return percent(binary_auroc(predictions, targets)) if both else None


def _ap(predictions: Tensor, targets: Tensor) -> float | None:
    from torchmetrics.functional.classification import binary_average_precision

    return percent(binary_average_precision(predictions, targets)) if targets.any() else None


def _label_f1(predictions: Tensor, targets: Tensor) -> float | None:
    from torchmetrics.functional.classification import binary_f1_score

    seen = bool(targets.any()) or bool((predictions > 0.5).any())
    return percent(binary_f1_score(predictions, targets)) if seen else None


def _each(
    metric: Callable[[Tensor, Tensor], float | None],
) -> Callable[[Gathering], float | None]:
    """Return the mean of a metric over the labels for which it is defined."""

    def mean(rows: Gathering) -> float | None:
        values = []
        for predictions, targets in zip(rows[0].T, rows[1].T, strict=True):
            known = targets != UNKNOWN
            values.append(metric(predictions[known], targets[known]) if known.any() else None)
        return mean_of_defined(values)

    return mean


def _label_accuracy(rows: Gathering) -> float:
    known = rows[1] != UNKNOWN
    return percent(((rows[0] > 0.5) == (rows[1] > 0))[known].double().mean())


def _exact(rows: Gathering) -> float:
    """Return the percentage of rows with known labels of which all known labels are right."""
    known = rows[1] != UNKNOWN
    right = (((rows[0] > 0.5) == (rows[1] > 0)) | ~known).all(1)
    return percent(right[known.any(1)].double().mean())


def label_confusion(rows: Gathering) -> list[list[int]]:
    """Count, for every label, the rows with (true, predicted) 00, 01, 10 and 11."""
    counts = []
    for predictions, targets in zip(rows[0].T, rows[1].T, strict=True):
        known = targets != UNKNOWN
        pairs = 2 * (targets[known] > 0).long() + (predictions[known] > 0.5).long()
        counts.append(torch.bincount(pairs, minlength=4).tolist())
    return counts
