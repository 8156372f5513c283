"""A run's losses, metrics and evaluations as TensorBoard scalars."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from torch.utils.tensorboard import SummaryWriter

from mtl_framework import (
    Evaluation,
    Result,
    Step,
    TrainingRun,
    evaluation_scalars,
    hookimpl,
    result_scalars,
    step_scalars,
)


class TensorBoard:
    """Writes event files into a folder of the run; look at them with ``tensorboard --logdir``.

    Args:
        folder: within the run's folder.
        every: iterations between scalars of steps.
    """

    def __init__(
        self,
        folder: Annotated[str, Field(min_length=1)] = "tensorboard",
        every: Annotated[int, Field(ge=1)] = 10,
    ) -> None:
        self.folder = folder
        self.every = every
        self._writer: SummaryWriter | None = None

    @hookimpl
    def mtl_run_started(self, run: TrainingRun) -> None:
        """Open the event file; after a resume, what an earlier part wrote beyond it is hidden."""
        path = run.directory / self.folder
        purge = run.iteration + 1 if run.iteration else None
        self._writer = SummaryWriter(str(path), purge_step=purge)

    @hookimpl
    def mtl_step(self, run: TrainingRun, step: Step) -> None:
        """Loss, loss of each task, and those metrics that are single numbers."""
        if run.iteration % self.every == 0:
            self._write(step_scalars(run, step), run)

    @hookimpl
    def mtl_evaluated(self, run: TrainingRun, evaluation: Evaluation) -> None:
        """Metrics of every split: mean, pooled, each task."""
        self._write(evaluation_scalars(evaluation), run)
        if self._writer is not None:
            self._writer.flush()

    @hookimpl
    def mtl_run_finished(self, run: TrainingRun, result: Result) -> None:
        """Parameter counts."""
        self._write(result_scalars(result), run)

    def close(self) -> None:
        """Finish the event file."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, scalars: Mapping[str, float], run: TrainingRun) -> None:
        if self._writer is not None:
            for name, value in scalars.items():
                self._writer.add_scalar(name, value, run.iteration)
