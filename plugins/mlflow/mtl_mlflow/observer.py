"""A run's losses, metrics and evaluations are logged to MLflow."""

import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from pydantic import Field

from mtl_framework import Result, ScalarObserver, TrainingRun, hookimpl

_FOLDER = "mtl.folder"
_LONGEST = 500  # characters that a parameter's value may have


class MLflow(ScalarObserver):
    """Logs a run to MLflow: its config as parameters, numbers of steps and evaluations.

    A run that goes on is one run there; the numbers of steps that it repeats stand twice.

    Args:
        uri: address of the tracking server or store; default: files below the run's folder, in
            ``mlruns``.
        experiment: name of the experiment that runs belong to.
        every: number of iterations between the steps that are logged.
    """

    def __init__(
        self,
        uri: str | None = None,
        experiment: Annotated[str, Field(min_length=1)] = "mtl-framework",
        every: Annotated[int, Field(ge=1)] = 10,
    ) -> None:
        super().__init__(every)
        self.uri = uri
        self.experiment = experiment
        self._client: MlflowClient | None = None
        self._id = ""
        self._status = "KILLED"

    def open(self, run: TrainingRun) -> None:
        """Begin, or go on with, the run of this folder."""
        folder = run.directory.resolve()
        uri = self.uri or (folder / "mlruns").as_uri()
        if uri.startswith("file:") or "://" not in uri:
            # MLflow asks for this word before it writes files without a database
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        self._client = client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(self.experiment)
        number = (
            client.create_experiment(self.experiment)
            if experiment is None
            else experiment.experiment_id
        )
        wanted = f"tags.`{_FOLDER}` = '{_quoted(str(folder))}'"
        earlier = client.search_runs([number], wanted) if run.iteration else []
        if earlier:
            self._id = earlier[0].info.run_id
            client.update_run(self._id, status="RUNNING")
            return
        tags = {_FOLDER: _quoted(str(folder))}
        self._id = client.create_run(number, tags=tags, run_name=folder.name).info.run_id
        client.log_batch(self._id, params=list(_parameters(folder / "config.yaml")))

    @hookimpl
    def mtl_run_finished(self, run: TrainingRun, result: Result) -> None:
        """Log the parameter counts, and note that the run has come to its end."""
        super().mtl_run_finished(run, result)
        self._status = "FINISHED"

    def close(self) -> None:
        """Tell MLflow how the run ended."""
        if self._client is not None and self._id:
            self._client.set_terminated(self._id, self._status)

    def write(self, scalars: Mapping[str, float], iteration: int) -> None:
        """Write numbers by name."""
        if self._client is not None:
            now = int(time.time() * 1000)
            rows = [Metric(_key(n), v, now, iteration) for n, v in scalars.items()]
            self._client.log_batch(self._id, metrics=rows)


def _parameters(file: Path) -> Iterator[Param]:
    """Return the config's values by key, with dots between sections."""

    def visit(prefix: str, values: Any) -> Iterator[Param]:
        if isinstance(values, Mapping) and values:
            for key, value in values.items():
                yield from visit(f"{prefix}.{key}" if prefix else str(key), value)
        elif prefix:
            yield Param(_key(prefix), str(values)[:_LONGEST])

    yield from visit("", yaml.safe_load(file.read_text(encoding="utf-8")))


def _key(name: str) -> str:
    """Return a name with those characters only that MLflow takes."""
    return re.sub(r"[^\w./ -]", "_", name)


def _quoted(text: str) -> str:
    return text.replace("'", "_")
