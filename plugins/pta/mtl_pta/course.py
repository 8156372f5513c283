"""The course of the decoders, from meta-iteration to meta-iteration, is kept for the report."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

MOST_POINTS = 200
MOST_NUMBERS = 256


class DueUpdate:
    """The next step begins with an update of all decoders that is due; it is saved with the run.

    Attributes:
        costs: (tasks, decoders), costs by which the decoders are updated; ``None``: nothing is due.
    """

    def __init__(self) -> None:
        self.costs: Tensor | None = None

    def take(self) -> Tensor | None:
        """Take the costs, which are then no longer due."""
        costs, self.costs = self.costs, None
        return costs

    def state_dict(self) -> dict[str, Any]:
        """Return the costs that are due."""
        return {"costs": self.costs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self.costs = state["costs"]


class Course:
    """A course is costs and dropout rates of all decoders, and one task's weights, over time.

    It is bounded: after :data:`MOST_POINTS` points every second one is dropped and from then on
    only every second one kept, and so on. Weights of more than :data:`MOST_NUMBERS` numbers are
    replaced by that many random projections, always the same, which keep angles nearly as they are.

    Attributes:
        task: the task whose decoders' weights are kept.
        iterations: the iteration of each point.
        costs: for each point costs (tasks, decoders), infinite before the first evaluation.
        rates: for each point dropout rates (tasks, decoders).
        weights: for each point weights (decoders, numbers).
    """

    def __init__(self, task: int) -> None:
        self.task = task
        self.iterations: list[int] = []
        self.costs: list[Tensor] = []
        self.rates: list[Tensor] = []
        self.weights: list[Tensor] = []
        self._seen = 0
        self._stride = 1

    def __len__(self) -> int:
        return len(self.iterations)

    def record(
        self,
        iteration: int,
        costs: Float[Tensor, "tasks decoders"],
        rates: Float[Tensor, "tasks decoders"],
        weights: Float[Tensor, "decoders numbers"],
    ) -> None:
        """Add a point."""
        if self._seen % self._stride == 0:
            self.iterations.append(iteration)
            self.costs.append(costs.detach().clone())
            self.rates.append(rates.detach().clone())
            self.weights.append(projected(weights.detach().cpu().float()))
        self._seen += 1
        if len(self) > MOST_POINTS:
            for points in (self.iterations, self.costs, self.rates, self.weights):
                del points[1::2]
            self._stride *= 2

    def state_dict(self) -> dict[str, Any]:
        """Return all points: numbers, and tensors with a first dimension for the points."""
        return {
            "task": self.task,
            "seen": self._seen,
            "stride": self._stride,
            "iterations": list(self.iterations),
            **{
                name: torch.stack(points) if points else torch.empty(0)
                for name, points in self._tensors().items()
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with what :meth:`state_dict` returned."""
        self.task = state["task"]
        self._seen, self._stride = state["seen"], state["stride"]
        self.iterations = list(state["iterations"])
        for name, points in self._tensors().items():
            points[:] = state[name].unbind()

    def _tensors(self) -> dict[str, list[Tensor]]:
        return {"costs": self.costs, "rates": self.rates, "weights": self.weights}


def projected(weights: Float[Tensor, "decoders numbers"]) -> Float[Tensor, "decoders fewer"]:
    """Project to at most :data:`MOST_NUMBERS` numbers a decoder (Johnson, Lindenstrauss 1984)."""
    size = weights.shape[1]
    if size <= MOST_NUMBERS:
        return weights.clone()
    generator = torch.Generator().manual_seed(0)
    projection: Tensor = weights.new_zeros(len(weights), MOST_NUMBERS)
    for part in torch.split(weights, 4096, 1):  # a part at a time: the directions of all are large
        directions = torch.randn(part.shape[1], MOST_NUMBERS, generator=generator)
        projection += part @ directions
    return projection / math.sqrt(MOST_NUMBERS)
