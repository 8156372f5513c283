"""A run's losses, metrics and evaluations are logged to Weights & Biases."""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import wandb
import yaml
from pydantic import Field

from mtl_framework import ScalarObserver, TrainingRun


class WeightsAndBiases(ScalarObserver):
    """Logs a run to Weights & Biases: its config, numbers of steps and evaluations, parameters.

    Nothing is sent unless ``mode`` is online: offline, files lie in the run's folder, for
    ``wandb sync``. A run that goes on is one run there.

    Args:
        project: name of the project that runs belong to.
        entity: the user or team; default: that of the login.
        mode: whether data are sent; ``online`` needs a login.
        every: number of iterations between the steps that are logged.
    """

    def __init__(
        self,
        project: Annotated[str, Field(min_length=1)] = "mtl-framework",
        entity: str | None = None,
        mode: Literal["offline", "online"] = "offline",
        every: Annotated[int, Field(ge=1)] = 10,
    ) -> None:
        super().__init__(every)
        self.project = project
        self.entity = entity
        self.mode = mode
        self._run: Any = None

    def open(self, run: TrainingRun) -> None:
        """Begin, or go on with, the run of this folder."""
        folder = run.directory.resolve()
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        self._run = wandb.init(
            project=self.project,
            entity=self.entity,
            mode=self.mode,
            dir=str(folder),
            name=folder.name,
            id=hashlib.sha256(str(folder).encode()).hexdigest()[:12],
            resume="allow",
            config=config,
            reinit="create_new",
            settings=wandb.Settings(console="off", silent=True, x_disable_stats=True),
        )

    def close(self) -> None:
        """Finish the run in Weights & Biases."""
        if self._run is not None:
            self._run.finish()

    def write(self, scalars: Mapping[str, float], iteration: int) -> None:
        """Write numbers by name."""
        if self._run is not None:
            self._run.log(dict(scalars), step=iteration)
