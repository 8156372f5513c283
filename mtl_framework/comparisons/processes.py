"""Cells run in processes of this machine."""

import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..support.errors import MtlError
from ..support.files import kind_of, read_bytes, remove_quietly
from .cells import TRACEBACK, note_failure
from .grid import Cell
from .worker import OUTPUT
from .workers import Cold, Warm, Worker


@dataclass(frozen=True)
class Ended:
    """This says that a cell's process has ended; where not ``ok``, its folder says why."""

    cell: Cell
    ok: bool


class Executor(ABC):
    """An executor runs cells."""

    @abstractmethod
    def has_room(self) -> bool:
        """Return whether another cell can be started now."""

    @abstractmethod
    def start(self, cell: Cell, folder: Path) -> None:
        """Begin to run a cell, or go on with it."""

    @abstractmethod
    def ended(self) -> list[Ended]:
        """Return the cells that ended since the last call, without waiting."""

    @abstractmethod
    def cancel(self, cell: Cell) -> None:
        """Let one cell save its state and end; :meth:`ended` tells of it as one that is not ok."""

    @abstractmethod
    def stop(self) -> None:
        """Let all cells save their state, and wait for them, if any runs."""


class LocalProcesses(Executor):
    """This executor gives every cell a process; all share the machine's threads.

    Where the system can fork safely, a worker's processes are forked from one that has everything
    imported (:mod:`.warm`), so that only the first cell waits for that.

    Args:
        workers: number of cells at a time.
        threads: number of threads of each process.
        devices: the GPUs that each worker may see, e.g. ``("0",)``; ``None``: all that there are.
        warm: whether processes are forked; default: on Linux.
    """

    def __init__(
        self,
        workers: int,
        threads: int,
        devices: Sequence[Sequence[str]] | None = None,
        warm: bool | None = None,
    ) -> None:
        self.threads = threads
        kind = Warm if (sys.platform == "linux" if warm is None else warm) else Cold
        self._workers = [
            kind(threads, None if devices is None else devices[n]) for n in range(workers)
        ]
        self._running: list[tuple[Cell, Path, Worker]] = []
        self._cancelled: list[Cell] = []

    def _idle(self) -> list[Worker]:
        busy = [worker for _, _, worker in self._running]
        return [worker for worker in self._workers if worker not in busy]

    def has_room(self) -> bool:
        """Return whether a worker is idle."""
        return len(self._running) < len(self._workers)

    def start(self, cell: Cell, folder: Path) -> None:
        """Begin to run a cell, or go on with it."""
        worker = self._idle()[0]
        worker.start(cell.config, folder)
        self._running.append((cell, folder, worker))

    def ended(self) -> list[Ended]:
        """Return the cells whose process has ended since the last call."""
        cells = []
        for item in list(self._running):
            cell, folder, worker = item
            status = worker.status()
            if status is None:
                continue
            self._running.remove(item)
            cancelled = cell in self._cancelled
            if cancelled:  # its process was asked to end, and has no failure to be told
                self._cancelled.remove(cell)
            cells.append(Ended(cell, not cancelled and settle(folder, status)))
        return cells

    def cancel(self, cell: Cell) -> None:
        """Ask the cell's process to save its state and end."""
        for running, _, worker in self._running:
            if running == cell and cell not in self._cancelled:
                self._cancelled.append(cell)
                worker.close()

    def stop(self) -> None:
        """Let all cells save their state, and wait for that; a second Ctrl-C does not wait."""
        for worker in self._workers:
            worker.close()
        try:
            for worker in self._workers:
                worker.wait()
        except BaseException:
            for worker in self._workers:
                worker.kill()
            raise
        self._running.clear()


def settle(folder: Path, status: int) -> bool:
    """Tidy up after an ended process, and return whether it succeeded.

    A process that was killed leaves no traceback of its own; the cell's folder gets a note instead.

    Args:
        folder: the folder of the cell.
        status: exit status of the process.

    Raises:
        MtlError: if a file cannot be read or written.
    """
    output = folder / OUTPUT
    text = read_bytes(output).decode(errors="replace") if kind_of(output) == "file" else ""
    if not text.strip():
        remove_quietly(output)
    if status not in (0, 1):
        note_failure(folder, _why(status), text[-10_000:])
    elif status == 1 and kind_of(folder / TRACEBACK) is None:
        note_failure(folder, "the process failed before the run began", text[-10_000:])
    return status == 0


def _why(status: int) -> str:
    if status >= 0:
        return f"the process ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = str(-status)
    hint = " (out of memory?)" if name == "SIGKILL" else ""
    return f"the process was ended by {name}{hint}"


def machine_threads() -> int:
    """Count the threads for this process: its cores, or fewer by OMP_NUM_THREADS."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(wanted)) if wanted.isdigit() and int(wanted) else cores


def gpu_groups(gpus: Sequence[str], gpus_per_run: float) -> list[tuple[str, ...]]:
    """Return the GPUs of each worker: one entry for every worker that there is room for.

    Args:
        gpus: names of the machine's GPUs.
        gpus_per_run: a whole number, or a fraction, e.g. 0.5 where two runs share one GPU.

    Raises:
        MtlError: if there are too few GPUs, or the number is above 1 and not whole.
    """
    if gpus_per_run > len(gpus):
        raise MtlError(f"--gpus-per-run is {gpus_per_run:g}, but there are {len(gpus)} GPUs here")
    if gpus_per_run < 1:
        return [(gpu,) for _ in range(int(1 / gpus_per_run + 1e-9)) for gpu in gpus]
    if gpus_per_run != int(gpus_per_run):
        raise MtlError(
            f"--gpus-per-run should be a whole number or below 1, found {gpus_per_run:g}"
        )
    size = int(gpus_per_run)
    return [tuple(gpus[n : n + size]) for n in range(0, len(gpus) - size + 1, size)]
