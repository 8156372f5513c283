"""A run's losses, metrics and evaluations as TensorBoard scalars."""

from typing import Annotated

import torch
from pydantic import Field
from torch.utils.tensorboard import SummaryWriter

from mtl_framework import Evaluation, Result, Step, TrainingRun, hookimpl


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
        if run.iteration % self.every or self._writer is None:
            return
        mean, per_task = run.losses(step)
        for name, value in {"mean": mean, **per_task}.items():
            if value is not None:  # a task without a label in this step
                self._scalar(f"loss/{name}", value, run)
        for name, metric in step.metrics.items():
            if not isinstance(metric, torch.Tensor) or metric.numel() == 1:
                self._scalar(f"metrics/{name}", float(metric), run)

    @hookimpl
    def mtl_evaluated(self, run: TrainingRun, evaluation: Evaluation) -> None:
        """Metrics of every split: mean, pooled, each task."""
        if self._writer is None:
            return
        for split, found in evaluation.splits.items():
            if found.error_mean is not None:
                self._scalar(f"{split}/error_mean", found.error_mean, run)
            if found.error_pooled is not None:
                self._scalar(f"{split}/error_pooled", found.error_pooled, run)
            for task, value in found.per_task.items():
                self._scalar(f"{split}/{task}", value, run)
        self._writer.flush()

    @hookimpl
    def mtl_run_finished(self, run: TrainingRun, result: Result) -> None:
        """Parameter counts."""
        self._scalar("parameters/trained", float(result.parameters.trained), run)
        self._scalar("parameters/deployed", float(result.parameters.deployed), run)

    def close(self) -> None:
        """Finish the event file."""
        if self._writer is not None:
            self._writer.close()

    def _scalar(self, name: str, value: float, run: TrainingRun) -> None:
        assert self._writer is not None
        self._writer.add_scalar(name, value, run.iteration)
