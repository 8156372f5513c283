"""The cells that are not done yet are run one after another, as executors have room."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..plugins.manager import Plugins
from ..runs.folder import RunFolder
from ..support.files import kind_of
from ..support.interrupts import Interrupted, Interrupts
from .cells import CellStatus, inspect, last_line
from .earlier import earlier_folders
from .grid import Cell, identity
from .processes import Executor

_PAUSE = 0.2  # seconds between two looks at the cells


@dataclass
class Tracked:
    """A tracked cell has a folder and a state; ``running`` while an executor has it."""

    cell: Cell
    folder: Path
    status: CellStatus
    plugins: Plugins
    running: bool = False

    @property
    def state(self) -> Literal["running", "waiting", "stopped", "done", "failed"]:
        """Return the state that the table shows: ``running`` while an executor has the cell."""
        return "running" if self.running else self.status.state

    def look(self) -> None:
        """Bring :attr:`status` up to date with the cell's folder."""
        if self.running:
            iteration, seconds = last_line(RunFolder(self.folder).metrics)
            self.status = CellStatus(self.status.state, iteration, seconds)
        else:
            self.status = inspect(self.folder, self.cell.config, self.plugins)


def track(cells: Sequence[Cell], runs: Path, plugins: Plugins) -> list[Tracked]:
    """Track all cells, with the states that their folders below ``runs`` say.

    A cell that was run before some option existed keeps the folder that it had then.
    """
    folders = [runs / cell.folder for cell in cells]
    if not all(kind_of(folder) for folder in folders):
        earlier = earlier_folders(runs, {cell.folder for cell in cells}, plugins)
        folders = [
            folder if kind_of(folder) else earlier.get(identity(cell.config), folder)
            for cell, folder in zip(cells, folders, strict=True)
        ]
    return [
        Tracked(cell, folder, inspect(folder, cell.config, plugins), plugins)
        for cell, folder in zip(cells, folders, strict=True)
    ]


def execute(tracked: Sequence[Tracked], executor: Executor, show: Callable[[], None]) -> int | None:
    """Run every cell that is not done; those that failed at an earlier time are tried again.

    A SIGINT or SIGTERM lets the running cells save their state.

    Args:
        tracked: all cells; their states are kept up to date.
        executor: the executor that runs the cells.
        show: function that is called whenever a state may have changed.

    Returns:
        the signal that ended the work, or ``None`` when no cell is left.
    """
    # controls of two strategies may be one and the same run, which is run once for both
    twins: dict[str, list[Tracked]] = {}
    for item in tracked:
        twins.setdefault(item.cell.folder, []).append(item)
    waiting = [same[0] for same in twins.values() if same[0].status.state != "done"]
    running = 0
    stopped: int | None = None
    with Interrupts("stopping: runs finish their step and save it") as interrupts:
        try:
            while (waiting or running) and interrupts.received is None:
                while waiting and executor.has_room():
                    item = waiting.pop(0)
                    executor.start(item.cell, item.folder)
                    for same in twins[item.cell.folder]:
                        same.running = True
                    running += 1
                for ended in executor.ended():
                    for same in twins[ended.cell.folder]:
                        same.running = False
                        same.look()
                    running -= 1
                for item in tracked:
                    if item.running:
                        item.look()
                show()
                time.sleep(_PAUSE)
        except Interrupted as by_signal:  # a cell that ran in this process took the signal
            stopped = by_signal.signal
        finally:
            executor.stop()
    for item in tracked:
        item.running = False
        item.look()
    show()
    return interrupts.received if stopped is None else stopped
