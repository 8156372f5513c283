"""A metric: a name, a unit, a direction, and how it is computed from all rows of a split."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Shaped
from torch import Tensor


@runtime_checkable
class State(Protocol):
    """A state accumulates what a metric needs over batches.

    Every metric of torchmetrics fits this protocol.
    """

    def update(
        self, predictions: Shaped[Tensor, "rows *outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> None:
        """Add some rows, as :meth:`Objective.judged` returns them."""

    def compute(self) -> Any:
        """Return the result over all rows, in the form that the metric's ``read`` takes."""


@dataclass(frozen=True)
class Metric:
    """A metric is a number for a set of rows, never a mean over batches.

    Args:
        name: what a config calls it, e.g. ``balanced_accuracy``.
        label: what tables and files call it, with its unit, e.g. ``balanced accuracy %``.
        make: returns a fresh state; metrics of an objective with the same ``state`` share one.
        read: turns what the state computes into the number, ``None`` where it is not defined.
        state: name of the state.
        ideal: the best possible value where larger is better; ``None`` where smaller is better.
    """

    name: str
    label: str
    make: Callable[[], State]
    read: Callable[[Any], float | None]
    state: str
    ideal: float | None = None

    @property
    def higher_is_better(self) -> bool:
        """Say whether larger values are better ones."""
        return self.ideal is not None


class Gathered:
    """Gathered keeps all rows, on the CPU, for metrics that need them all at once."""

    def __init__(self) -> None:
        self._parts: list[tuple[Tensor, Tensor]] = []

    def update(
        self, predictions: Shaped[Tensor, "rows *outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> None:
        """Keep some rows."""
        self._parts.append((predictions.cpu(), targets.cpu()))

    def compute(self) -> tuple[Tensor, Tensor]:
        """Return all predictions and all targets, concatenated along the rows."""
        predictions, targets = zip(*self._parts, strict=True)
        return torch.cat(predictions), torch.cat(targets)


class Meter:
    """A meter computes several metrics over the rows of a split, given batch by batch.

    Args:
        metrics: the metrics to compute.
        details: makers of further states that :meth:`computed` should contain, by name.
    """

    def __init__(
        self, metrics: Sequence[Metric], details: Mapping[str, Callable[[], State]] | None = None
    ) -> None:
        self._metrics = tuple(metrics)
        makers = {metric.state: metric.make for metric in self._metrics}
        self._states = {name: make() for name, make in {**makers, **(details or {})}.items()}
        for state in self._states.values():
            _measure_alone(state)

    @property
    def is_empty(self) -> bool:
        """Say whether there is nothing to be measured."""
        return not self._states

    def update(
        self, predictions: Shaped[Tensor, "rows *outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> None:
        """Add some rows, as :meth:`Objective.judged` returns them."""
        for state in self._states.values():
            if isinstance(state, torch.nn.Module):
                state.to(predictions.device)
            state.update(predictions, targets)

    def computed(self) -> dict[str, Any]:
        """Return what every state computes, by the state's name."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of undefined values, which are None here
            return {name: state.compute() for name, state in self._states.items()}

    def values(self, computed: Mapping[str, Any]) -> dict[str, float | None]:
        """Return every metric by its label; ``None`` where it is not defined for these rows.

        Args:
            computed: what :meth:`computed` returned.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {m.label: _finite(m.read(computed[m.state])) for m in self._metrics}


def _measure_alone(state: object) -> None:
    """Let a metric of torchmetrics ask no other process: the one that measures has all rows."""
    for each in (state, getattr(state, "inner", None)):
        if hasattr(each, "distributed_available_fn"):
            each.distributed_available_fn = _never


def _never() -> bool:
    return False


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def mean_of_defined(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are defined; ``None`` where none is."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sum(known) / len(known) if known else None
