"""The metrics that a task reports, and the one by which its networks are chosen."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...support.errors import UnknownNameError
from .classes import MOST_CURVES
from .metric import Metric

if TYPE_CHECKING:
    from ..objectives import Objective

_OF_ALL_ROWS = ("auroc", "average_precision", "calibration_error")


def chosen_main(task: str, objective: "Objective", main: str | None) -> Metric | None:
    """Return a task's main metric; ``None``: it is the mean of the objective's own scores.

    Such a mean is over rows; metrics of maps are over the pixels of all rows, so they never are.

    Args:
        task: name of the task, for error messages.
        objective: the objective of the task.
        main: name of the metric that the user has chosen; ``None``: the objective chooses.

    Raises:
        UnknownNameError: if the objective has no such metric.
    """
    metrics = {metric.name: metric for metric in objective.metrics()}
    main = objective.main if main is None else main
    if main is None or (main == next(iter(metrics), None) and not objective.is_map):
        return None
    if main not in metrics:
        raise UnknownNameError(f"metric of task {task!r}", main, metrics)
    return metrics[main]


def chosen_metrics(
    task: str, objective: "Objective", main: str | None, reported: Sequence[str] | None
) -> tuple[Metric, ...]:
    """Return all metrics that a task reports, among them the main one, in the objective's order.

    Args:
        task: name of the task, for error messages.
        objective: the objective of the task.
        main: name of the main metric, where the user has chosen one.
        reported: names of the others; ``None``: all, but for those that need all rows at once where
            there are more than 200 classes.

    Raises:
        UnknownNameError: if the objective has no such metric.
    """
    metrics = {metric.name: metric for metric in objective.metrics()}
    if reported is None:
        many = objective.num_outputs > MOST_CURVES
        reported = [name for name in metrics if not (many and name in _OF_ALL_ROWS)]
    for name in reported:
        if name not in metrics:
            raise UnknownNameError(f"metric of task {task!r}", name, metrics)
    chosen = chosen_main(task, objective, main)
    names = {*reported, *([chosen.name] if chosen else list(metrics)[:1])}
    return tuple(metric for metric in metrics.values() if metric.name in names)
