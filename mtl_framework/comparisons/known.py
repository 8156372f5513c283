"""Which runs a comparison has is known bit by bit: lengths after pilots, controls after runs."""

from collections.abc import Sequence
from pathlib import Path

from ..networks.result import Result
from ..plugins.manager import Plugins
from .config import ComparisonConfig
from .controls import control_cells, without_controls
from .equal_time import cells_at_equal_time, track_pilots
from .execution import Tracked, track
from .grid import Cell


class KnownCells:
    """These cells are known at the moment: those whose length is known, their controls, and pilots.

    Args:
        comparison: the comparison.
        runs: folder that holds the runs' folders.
        plugins: plugins that know the strategies' options.
        only: strategies whose runs are done; none: all.
    """

    def __init__(
        self, comparison: ComparisonConfig, runs: Path, plugins: Plugins, only: Sequence[str]
    ) -> None:
        self.comparison, self.only = comparison, only
        self._runs, self._plugins = runs, plugins
        self.pilots = track_pilots(comparison, runs, plugins)
        self.find()

    def find(self) -> None:
        """Find the cells whose length is known by now, and the controls of what has ended."""
        cells = cells_at_equal_time(self.comparison, self.pilots)
        self.cells = track(cells, self._runs, self._plugins)
        self.find_controls()

    def find_controls(self) -> None:
        """Find the controls of all runs that have ended."""
        cells = control_cells(self.comparison.settings, _finished(self.cells), self._plugins)
        self.controls = track(cells, self._runs, self._plugins)

    def unsuited(self) -> dict[str, list[str]]:
        """Name the strategies that have learned an assignment, with the controls that they lack."""
        finished = _finished(self.chosen(self.cells))
        return without_controls(self.comparison.settings, finished, self._plugins)

    def waiting(self) -> list[Tracked]:
        """Return the pilots that have not ended."""
        return [pilot for pilot in self.pilots if pilot.status.result is None]

    def everything(self) -> list[Tracked]:
        """Return all cells, controls last."""
        return [*self.cells, *self.waiting(), *self.controls]

    def chosen(self, tracked: Sequence[Tracked]) -> list[Tracked]:
        """Return the cells of the strategies whose runs are done, and their controls."""

        def strategy(cell: Cell) -> str:
            return cell.strategy if cell.control is None else cell.control.of

        return [item for item in tracked if not self.only or strategy(item.cell) in self.only]


def _finished(tracked: Sequence[Tracked]) -> list[tuple[Cell, Result]]:
    return [(t.cell, t.status.result) for t in tracked if t.status.result is not None]
