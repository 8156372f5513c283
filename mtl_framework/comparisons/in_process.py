"""Comparisons of Python objects run their cells in this process, one after another."""

import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from ..plugins.manager import Plugins
from ..support.files import kind_of
from ..support.interrupts import Interrupted
from .cells import finished_result, forget_failure, note_failure, reason_of
from .grid import Cell
from .processes import Ended, Executor


class InProcess(Executor):
    """This executor runs each cell in this process, which has the Python objects.

    Args:
        plugins: plugins in which names are looked up.
        threads: number of torch's threads while a cell runs.
    """

    def __init__(self, plugins: Plugins, threads: int) -> None:
        self._plugins = plugins
        self._threads = threads
        self._ended: list[Ended] = []

    def has_room(self) -> bool:
        """Return whether :meth:`ended` has told of the cell that ran last."""
        return not self._ended

    def start(self, cell: Cell, folder: Path) -> None:
        """Run a cell to its end, or go on with it; one that is finished stays as it is.

        Raises:
            Interrupted: if a signal stopped the run; its state is saved.
        """
        from ..runs.run import Run

        forget_failure(folder)
        begun = any(kind_of(folder / name) for name in ("config.yaml", "checkpoint"))
        try:
            # what could not be read a moment ago may be finished
            if finished_result(folder, cell.config, self._plugins) is None:
                with _threads(self._threads), _callers_generators():
                    Run.start(cell.config, self._plugins, folder, resume=begun).execute()
        except Interrupted:
            raise
        except Exception as error:
            note_failure(folder, reason_of(error), traceback.format_exc())
            self._ended.append(Ended(cell, ok=False))
        else:
            self._ended.append(Ended(cell, ok=True))

    def ended(self) -> list[Ended]:
        """Return the cell that was started last, once."""
        ended, self._ended = self._ended, []
        return ended

    def cancel(self, cell: Cell) -> None:
        """Do nothing: a cell that was started has ended."""

    def stop(self) -> None:
        """Do nothing: no cell runs beside the caller."""


def _callers_generators() -> AbstractContextManager[None]:
    import torch

    from ..support.seeding import untouched_generators

    return untouched_generators(torch.device("cpu"))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
