"""What a metric is: a name, a unit, a direction, and how it comes from all rows of a split."""

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
    """What a metric remembers of the batches so far; every metric of torchmetrics is one."""

    def update(
        self, predictions: Shaped[Tensor, "rows *outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> None:
        """Take note of some rows: what :meth:`Objective.judged` made of them."""

    def compute(self) -> Any:
        """What all rows together amount to, as the metric's ``read`` wants it."""


@dataclass(frozen=True)
class Metric:
    """A number that a task reports for a set of rows; never a mean over batches.

    Args:
        name: what a config calls it, e.g. ``balanced_accuracy``.
        label: what tables and files call it, with its unit, e.g. ``balanced accuracy %``.
        make: gives a fresh state. Metrics of one objective whose ``state`` is the same share one.
        read: from what the state computes to the number, ``None`` where it is not defined.
        state: name of the state.
        ideal: the value that cannot be surpassed, where larger is better; ``None`` where smaller
            is.
    """

    name: str
    label: str
    make: Callable[[], State]
    read: Callable[[Any], float | None]
    state: str
    ideal: float | None = None

    @property
    def higher_is_better(self) -> bool:
        """Whether larger values are better ones."""
        return self.ideal is not None


class Gathered:
    """A state that keeps all rows, on the CPU, for metrics that need them all at once."""

    def __init__(self) -> None:
        self._parts: list[tuple[Tensor, Tensor]] = []

    def update(
        self, predictions: Shaped[Tensor, "rows *outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> None:
        """Keep some rows."""
        self._parts.append((predictions.cpu(), targets.cpu()))

    def compute(self) -> tuple[Tensor, Tensor]:
        """All predictions and all targets."""
        predictions, targets = zip(*self._parts, strict=True)
        return torch.cat(predictions), torch.cat(targets)


class Meter:
    """Measures the rows of a split, batch by batch.

    Args:
        metrics: to be computed.
        details: states that :meth:`computed` should have as well, by name.
    """

    def __init__(
        self, metrics: Sequence[Metric], details: Mapping[str, Callable[[], State]] | None = None
    ) -> None:
        self._metrics = tuple(metrics)
        makers = {metric.state: metric.make for metric in self._metrics}
        self._states = {name: make() for name, make in {**makers, **(details or {})}.items()}

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be measured."""
        return not self._states

    def update(
        self, predictions: Shaped[Tensor, "rows *outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> None:
        """Take note of some rows, as :meth:`Objective.judged` gives them."""
        for state in self._states.values():
            if isinstance(state, torch.nn.Module):
                state.to(predictions.device)
            state.update(predictions, targets)

    def computed(self) -> dict[str, Any]:
        """What every state computes, by its name."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of undefined values, which are None here
            return {name: state.compute() for name, state in self._states.items()}

    def values(self, computed: Mapping[str, Any]) -> dict[str, float | None]:
        """Every metric by its label; ``None`` where it is not defined for these rows.

        Args:
            computed: what :meth:`computed` gave.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {m.label: _finite(m.read(computed[m.state])) for m in self._metrics}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def mean_of_defined(values: Sequence[float | None]) -> float | None:
    """Mean of the values that are defined; ``None`` where none is."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sum(known) / len(known) if known else None
