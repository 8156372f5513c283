"""Observers that log the single numbers of a step, an evaluation and a result, by name."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

from ..networks.evaluation import Evaluation
from ..networks.result import Result
from ..strategies.context import TrainingRun
from ..strategies.step import Step
from .hookspecs import hookimpl


class ScalarObserver(ABC):
    """Logs a run's numbers; a subclass opens the place where they go, writes them, and closes it.

    Names are ``loss/mean``, ``loss/TASK`` and ``metrics/NAME`` of steps, ``SPLIT/error_mean``,
    ``SPLIT/error_pooled`` and ``SPLIT/TASK`` of evaluations, and ``parameters/trained`` and
    ``parameters/deployed`` of a result.

    Args:
        every: iterations between numbers of steps, at least 1.
    """

    def __init__(self, every: int) -> None:
        self.every = every

    @abstractmethod
    def open(self, run: TrainingRun) -> None:
        """Prepare to write; a run that goes on has an ``iteration`` above 0."""

    @abstractmethod
    def write(self, scalars: Mapping[str, float], iteration: int) -> None:
        """Write numbers by name, of an iteration."""

    @hookimpl
    def mtl_run_started(self, run: TrainingRun) -> None:
        """The run begins or goes on."""
        self.open(run)

    @hookimpl
    def mtl_step(self, run: TrainingRun, step: Step) -> None:
        """Loss, loss of each task, and those metrics that are single numbers."""
        if run.iteration % self.every == 0:
            self.write(step_scalars(run, step), run.iteration)

    @hookimpl
    def mtl_evaluated(self, run: TrainingRun, evaluation: Evaluation) -> None:
        """Metrics of every split: mean, pooled, each task."""
        self.write(evaluation_scalars(evaluation), run.iteration)

    @hookimpl
    def mtl_run_finished(self, run: TrainingRun, result: Result) -> None:
        """Parameter counts."""
        self.write(result_scalars(result), run.iteration)


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
