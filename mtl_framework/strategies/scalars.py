"""Observers log the single numbers of a step, an evaluation and a result, by name."""

from collections.abc import Iterator

from ..networks.evaluation import Evaluation
from ..networks.result import Result
from .context import TrainingRun
from .step import Step


def step_scalars(run: TrainingRun, step: Step) -> dict[str, float]:
    """The numbers of a run's newest step, on the CPU; waits for the device.

    ``loss/mean`` and ``loss/TASK`` (a task without a label in the step has none), and of the
    strategy's metrics ``metrics/NAME`` those that are single numbers.
    """

    def numbers() -> Iterator[tuple[str, float]]:
        mean, per_task = run.losses(step)
        for name, value in {"mean": mean, **per_task}.items():
            if value is not None:
                yield f"loss/{name}", value
        for name, metric in step.metrics.items():
            if getattr(metric, "numel", lambda: 1)() == 1:
                yield f"metrics/{name}", float(metric)

    return dict(numbers())


def evaluation_scalars(evaluation: Evaluation) -> dict[str, float]:
    """An evaluation's numbers: ``SPLIT/error_mean``, ``SPLIT/error_pooled``, ``SPLIT/TASK``."""
    values: dict[str, float] = {}
    for split, figures in evaluation.splits.items():
        if figures.error_mean is not None:
            values[f"{split}/error_mean"] = figures.error_mean
        if figures.error_pooled is not None:
            values[f"{split}/error_pooled"] = figures.error_pooled
        values |= {f"{split}/{task}": value for task, value in figures.per_task.items()}
    return values


def result_scalars(result: Result) -> dict[str, float]:
    """The numbers of a result that no evaluation has: how many parameters there are."""
    return {
        "parameters/trained": float(result.parameters.trained),
        "parameters/deployed": float(result.parameters.deployed),
    }
