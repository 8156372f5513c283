"""A run's losses, metrics and evaluations are written as one table of text."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TextIO

from pydantic import Field

from mtl_framework import ScalarObserver, TrainingRun, csv_cell

_HEADER = ["iteration", "name", "value"]


class CsvFile(ScalarObserver):
    """Writes every number as a row ``iteration,name,value`` of a CSV file in the run's folder.

    A run that goes on drops the rows behind the iteration from which it does.

    Args:
        file: name of the file within the run's folder.
        every: number of iterations between the steps that are written.
    """

    def __init__(
        self,
        file: Annotated[str, Field(min_length=1)] = "metrics.csv",
        every: Annotated[int, Field(ge=1)] = 10,
    ) -> None:
        super().__init__(every)
        self.file = file
        self._stream: TextIO | None = None

    def open(self, run: TrainingRun) -> None:
        """Open the file, with what an earlier part of the run wrote up to here."""
        path = run.directory / self.file
        kept = _rows_until(path, run.iteration) if run.iteration else []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("w", encoding="utf-8", newline="")
        csv.writer(self._stream).writerows([_HEADER, *kept])

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()

    def write(self, scalars: Mapping[str, float], iteration: int) -> None:
        """Write numbers by name."""
        if self._stream is not None:
            writer = csv.writer(self._stream)
            writer.writerows([iteration, csv_cell(name), value] for name, value in scalars.items())
            self._stream.flush()


def _rows_until(path: Path, iteration: int) -> list[list[str]]:
    """Return the whole rows of an earlier part, up to an iteration."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.reader(stream) if len(row) == len(_HEADER)]
    return [row for row in rows if row[0].isdecimal() and int(row[0]) <= iteration]
