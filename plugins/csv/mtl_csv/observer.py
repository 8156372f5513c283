"""A run's losses, metrics and evaluations as one table of text."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TextIO

from pydantic import Field

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

_HEADER = ["iteration", "name", "value"]


class CsvFile:
    """Writes every number as a row ``iteration,name,value`` of a CSV file in the run's folder.

    A run that goes on drops the rows behind the iteration at which it does.

    Args:
        file: name of the file within the run's folder.
        every: iterations between numbers of steps.
    """

    def __init__(
        self,
        file: Annotated[str, Field(min_length=1)] = "metrics.csv",
        every: Annotated[int, Field(ge=1)] = 10,
    ) -> None:
        self.file = file
        self.every = every
        self._stream: TextIO | None = None

    @hookimpl
    def mtl_run_started(self, run: TrainingRun) -> None:
        """Open the file, with what an earlier part of the run wrote up to here."""
        path = run.directory / self.file
        kept = _rows_until(path, run.iteration) if run.iteration else []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("w", encoding="utf-8", newline="")
        csv.writer(self._stream).writerows([_HEADER, *kept])

    @hookimpl
    def mtl_step(self, run: TrainingRun, step: Step) -> None:
        """Loss, loss of each task, and those metrics that are single numbers."""
        if run.iteration % self.every == 0:
            self._write(step_scalars(run, step), run)

    @hookimpl
    def mtl_evaluated(self, run: TrainingRun, evaluation: Evaluation) -> None:
        """Metrics of every split: mean, pooled, each task."""
        self._write(evaluation_scalars(evaluation), run)

    @hookimpl
    def mtl_run_finished(self, run: TrainingRun, result: Result) -> None:
        """Parameter counts."""
        self._write(result_scalars(result), run)

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()

    def _write(self, scalars: Mapping[str, float], run: TrainingRun) -> None:
        if self._stream is not None:
            writer = csv.writer(self._stream)
            writer.writerows([run.iteration, name, value] for name, value in scalars.items())
            self._stream.flush()


def _rows_until(path: Path, iteration: int) -> list[list[str]]:
    """Whole rows of an earlier part, up to an iteration."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.reader(stream) if len(row) == len(_HEADER)]
    return [row for row in rows if row[0].isdecimal() and int(row[0]) <= iteration]
