"""One task is measured over the labelled rows of a split, batch by batch."""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ..data.metrics.metric import Meter
from ..data.tasks import Task
from ..support.errors import MtlError


@dataclass(frozen=True)
class Measured:
    """These are the figures of a task's networks on a split.

    Args:
        main: the task's main metric.
        score: sum of its objective's scores, for pooling with other tasks.
        rows: number of rows.
        loss: mean loss.
        ideal: value of the main metric that cannot be surpassed, where larger is better.
        metrics: every reported metric by its label; ``None``: not defined for these rows.
        detail: what a report draws, see :meth:`Objective.detail`.
    """

    main: float
    score: float
    rows: int
    loss: float
    ideal: float | None = None
    metrics: dict[str, float | None] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)


class TaskMeasure:
    """This measures one task on one split.

    Args:
        task: the task whose objective and metrics these are.
        split: name of the split, for errors.
        detailed: whether to keep what a report draws.
        main_only: whether to leave out all metrics but the main one.
    """

    def __init__(
        self, task: Task, split: str, detailed: bool = False, main_only: bool = False
    ) -> None:
        self._task, self._split, self._detailed = task, split, detailed
        details = task.objective.details() if detailed else {}
        main = [task.main_metric] if task.main_metric else []
        self._meter = Meter(main if main_only else task.metrics, details)
        self._scores: list[Tensor] = []
        self._losses: list[Tensor] = []

    def update(
        self, outputs: Float[Tensor, "rows *outputs"], targets: Shaped[Tensor, "rows *dims"]
    ) -> None:
        """Take note of some labelled rows."""
        objective = self._task.objective
        targets = targets.to(outputs.device)
        self._scores.append(objective.scores(outputs, targets))
        self._losses.append(objective.losses(outputs, targets))
        if len(outputs) and not self._meter.is_empty:
            if outputs.device.type == "mps":  # which has no float64
                outputs, targets = outputs.cpu(), targets.cpu()
            self._meter.update(*objective.judged(outputs, targets))

    def result(self) -> Measured:
        """Return the figures of all rows so far.

        Raises:
            MtlError: if the main metric that the user has chosen is not defined for them.
        """
        task, objective = self._task, self._task.objective
        (score, rows), (loss, _) = _sum(self._scores), _sum(self._losses)
        computed = self._meter.computed()
        metrics = self._meter.values(computed)
        detail = objective.detail(computed) if self._detailed else {}
        chosen = task.main_metric
        if chosen is None:
            main = objective.summarize(score / rows)
            if objective.metric in metrics:  # the one number, however it is rounded elsewhere
                metrics[objective.metric] = main
            return Measured(main, score, rows, loss / rows, None, metrics, detail)
        value = metrics[chosen.label]
        if value is None:
            raise MtlError(
                f"the main metric of task {task.name!r}, {chosen.name}, is not defined for its "
                f"{self._split} examples: choose another one in metrics.{task.name}.main"
            )
        return Measured(value, score, rows, loss / rows, chosen.ideal, metrics, detail)


def _sum(parts: list[Tensor]) -> tuple[float, int]:
    """Return the sum in double precision, read from the device once, and the number of rows."""
    rows = torch.cat(parts).cpu().double()
    return float(rows.sum()), len(rows)
