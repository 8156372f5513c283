"""A run's losses, metrics and evaluations become TensorBoard scalars."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from torch.utils.tensorboard import SummaryWriter

from mtl_framework import ScalarObserver, TrainingRun


class TensorBoard(ScalarObserver):
    """Writes event files into a folder of the run; look at them with ``tensorboard --logdir``.

    Args:
        folder: name of the folder within the run's folder.
        every: number of iterations between the steps that are written.
    """

    def __init__(
        self,
        folder: Annotated[str, Field(min_length=1)] = "tensorboard",
        every: Annotated[int, Field(ge=1)] = 10,
    ) -> None:
        super().__init__(every)
        self.folder = folder
        self._writer: SummaryWriter | None = None

    def open(self, run: TrainingRun) -> None:
        """Open the event file; after a resume, what an earlier part wrote beyond it is hidden."""
        path = run.directory / self.folder
        purge = run.iteration + 1 if run.iteration else None
        self._writer = SummaryWriter(str(path), purge_step=purge)

    def close(self) -> None:
        """Finish the event file."""
        if self._writer is not None:
            self._writer.close()

    def write(self, scalars: Mapping[str, float], iteration: int) -> None:
        """Write numbers by name."""
        if self._writer is not None:
            for name, value in scalars.items():
                self._writer.add_scalar(name, value, iteration)
            self._writer.flush()
