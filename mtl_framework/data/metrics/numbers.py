"""Regressions, ordered levels and words have these metrics, in the units of the targets."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from .metric import Gathered, Metric, State, mean_of_defined

Gathering = tuple[Tensor, Tensor]


@cache
def number_metrics() -> tuple[Metric, ...]:
    """Return the metrics of a regression; predictions and targets are (rows, numbers).

    The first is the root of the mean squared error over all numbers of all rows. R² and Spearman's
    ρ are means over the numbers, each over all rows.
    """

    def rmse(rows: Gathering) -> float:
        from torchmetrics.functional import mean_squared_error

        return float(mean_squared_error(*rows, squared=False))

    def mae(rows: Gathering) -> float:
        from torchmetrics.functional import mean_absolute_error

        return float(mean_absolute_error(*rows))

    return (
        Metric("rmse", "RMSE", Gathered, rmse, "all"),
        Metric("mae", "MAE", Gathered, mae, "all"),
        Metric("r2", "R²", Gathered, _each(_r2), "all", 1.0),
        Metric("spearman", "Spearman ρ", Gathered, _each(_spearman), "all", 1.0),
    )


@cache
def level_metrics(levels: int) -> tuple[Metric, ...]:
    """Return the metrics of ordered levels: predictions and targets are whole numbers (rows,)."""

    def mae(rows: Gathering) -> float:
        from torchmetrics.functional import mean_absolute_error

        return float(mean_absolute_error(rows[0].double(), rows[1].double()))

    def right(rows: Gathering) -> float:
        return 100 * float((rows[0] == rows[1]).double().mean())

    def kappa(rows: Gathering) -> float:
        from torchmetrics.functional.classification import multiclass_cohen_kappa

        return float(multiclass_cohen_kappa(*rows, levels, weights="quadratic"))

    return (
        Metric("mae", "MAE levels", Gathered, mae, "all"),
        Metric("accuracy", "accuracy %", Gathered, right, "all", 100.0),
        Metric("kappa", "quadratic κ", Gathered, kappa, "all", 1.0),
        Metric(
            "spearman",
            "Spearman ρ",
            Gathered,
            lambda rows: _spearman(rows[0].double(), rows[1].double()),
            "all",
            1.0,
        ),
    )


class _Words(nn.Module):
    """This metric gives one of torchmetrics every position of a text as a row of its own."""

    def __init__(self, inner: Any, largest: bool) -> None:
        super().__init__()
        self.inner, self.largest = inner, largest

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Add outputs (rows, positions, words) and target words (rows, positions)."""
        if self.largest:
            predictions, targets = predictions.argmax(-1).flatten(), targets.flatten()
        self.inner.update(predictions, targets)

    def compute(self) -> Tensor:
        """Return the metric over all numbers so far."""
        value: Tensor = self.inner.compute()
        return value


@cache
def word_metrics(words: int) -> tuple[Metric, ...]:
    """Return the metrics of a language model; their states are sums, so no output is kept."""

    def perplexity() -> State:
        from torchmetrics.text import Perplexity

        return _Words(Perplexity().set_dtype(torch.float64), largest=False)

    def right() -> State:
        from torchmetrics.classification import MulticlassAccuracy

        return _Words(MulticlassAccuracy(words, average="micro"), largest=True)

    return (
        Metric("perplexity", "perplexity", perplexity, float, "perplexity"),
        Metric("accuracy", "accuracy %", right, lambda share: 100 * float(share), "right", 100.0),
    )


def _each(metric: Callable[[Tensor, Tensor], float | None]) -> Callable[[Gathering], float | None]:
    def mean(rows: Gathering) -> float | None:
        columns = zip(rows[0].T, rows[1].T, strict=True)
        return mean_of_defined([metric(predictions, targets) for predictions, targets in columns])

    return mean


def _r2(predictions: Tensor, targets: Tensor) -> float | None:
    from torchmetrics.functional import r2_score

    constant = len(targets) < 2 or bool((targets == targets[0]).all())
    return None if constant else float(r2_score(predictions, targets))


def _spearman(predictions: Tensor, targets: Tensor) -> float | None:
    from torchmetrics.functional import spearman_corrcoef

    for numbers in (predictions, targets):
        if len(numbers) < 2 or bool((numbers == numbers[0]).all()):
            return None
    return float(spearman_corrcoef(predictions, targets))
