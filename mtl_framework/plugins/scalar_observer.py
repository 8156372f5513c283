"""Observers can log the single numbers of a step, an evaluation and a result, by name."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

from ..networks.evaluation import Evaluation
from ..networks.result import Result
from ..strategies.context import TrainingRun
from ..strategies.step import Step
from .hookspecs import hookimpl


class ScalarObserver(ABC):
    """A scalar observer logs a run's numbers; a subclass opens and writes the log.

    Steps have the names ``loss/mean``, ``loss/TASK`` and ``metrics/NAME``, evaluations
    ``SPLIT/error_mean``, ``SPLIT/error_pooled`` and ``SPLIT/TASK``, and a result
    ``parameters/trained`` and ``parameters/deployed``.

    Args:
        every: number of iterations from one logged step to the next, at least 1.
    """

    def __init__(self, every: int) -> None:
        self.every = every

    @abstractmethod
    def open(self, run: TrainingRun) -> None:
        """Prepare to write; a run that goes on has an ``iteration`` above 0."""

    @abstractmethod
    def write(self, scalars: Mapping[str, float], iteration: int) -> None:
        """Write the numbers of an iteration, by name."""

    @hookimpl
    def mtl_run_started(self, run: TrainingRun) -> None:
        """Open the log when the run begins or goes on."""
        self.open(run)

    @hookimpl
    def mtl_step(self, run: TrainingRun, step: Step) -> None:
        """Log the loss, the loss of each task, and metrics that are single numbers."""
        if run.iteration % self.every == 0:
            self.write(step_scalars(run, step), run.iteration)

    @hookimpl
    def mtl_evaluated(self, run: TrainingRun, evaluation: Evaluation) -> None:
        """Log the metrics of every split: mean, pooled, each task."""
        self.write(evaluation_scalars(evaluation), run.iteration)

    @hookimpl
    def mtl_run_finished(self, run: TrainingRun, result: Result) -> None:
        """Log the numbers of parameters."""
        self.write(result_scalars(result), run.iteration)


def step_scalars(run: TrainingRun, step: Step) -> dict[str, float]:
    """Read the numbers of a run's newest step to the CPU, which waits for the device.

    The names are ``loss/mean``, ``loss/TASK`` (not for a task without a label in the step), and
    ``metrics/NAME`` for those metrics of the strategy that are single numbers.
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
    """Return an evaluation's ``SPLIT/error_mean``, ``SPLIT/error_pooled``, ``SPLIT/TASK``."""
    values: dict[str, float] = {}
    for split, figures in evaluation.splits.items():
        if figures.error_mean is not None:
            values[f"{split}/error_mean"] = figures.error_mean
        if figures.error_pooled is not None:
            values[f"{split}/error_pooled"] = figures.error_pooled
        values |= {f"{split}/{task}": value for task, value in figures.per_task.items()}
    return values


def result_scalars(result: Result) -> dict[str, float]:
    """Return the numbers of trained and of deployed parameters of a result."""
    return {
        "parameters/trained": float(result.parameters.trained),
        "parameters/deployed": float(result.parameters.deployed),
    }
