"""Running cells in processes of this machine."""

import contextlib
import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..runs.config import RunConfig
from ..support.errors import MtlError
from .cells import note_failure
from .grid import Cell

OUTPUT = "output.txt"


@dataclass(frozen=True)
class Ended:
    """A cell whose process has ended. ``ok`` is false if it failed; its folder says why."""

    cell: Cell
    ok: bool


class Executor(ABC):
    """Something that runs cells."""

    @abstractmethod
    def has_room(self) -> bool:
        """Whether another cell can be started now."""

    @abstractmethod
    def start(self, cell: Cell, folder: Path) -> None:
        """Begin with a cell, or go on with it."""

    @abstractmethod
    def ended(self) -> list[Ended]:
        """Cells that ended since the last call; returns at once."""

    @abstractmethod
    def stop(self) -> None:
        """Let all cells save their state, and wait for that. Harmless when nothing runs."""


@dataclass
class _Running:
    cell: Cell
    folder: Path
    slot: int
    process: "subprocess.Popen[bytes]"


class LocalProcesses(Executor):
    """Runs every cell in a process of its own; processes that share the machine's threads.

    Args:
        workers: cells at a time.
        threads: of each process.
        devices: for every worker the GPUs that it may see, e.g. ``("0",)``; ``None``: whatever
            there is.
    """

    def __init__(
        self, workers: int, threads: int, devices: Sequence[Sequence[str]] | None = None
    ) -> None:
        self.threads = threads
        self._devices = devices
        self._free = list(range(workers))
        self._running: list[_Running] = []

    def has_room(self) -> bool:
        """Whether a worker is idle."""
        return bool(self._free)

    def start(self, cell: Cell, folder: Path) -> None:
        """Begin with a cell, or go on with it."""
        slot = self._free.pop(0)
        visible = None if self._devices is None else self._devices[slot]
        process = spawn(cell.config, folder, self.threads, visible)
        self._running.append(_Running(cell, folder, slot, process))

    def ended(self) -> list[Ended]:
        """Cells whose process has ended since the last call."""
        found = []
        for running in list(self._running):
            status = running.process.poll()
            if status is None:
                continue
            self._running.remove(running)
            self._free.append(running.slot)
            found.append(Ended(running.cell, settle(running.folder, running.process)))
        return found

    def stop(self) -> None:
        """Let all cells save their state, and wait for that."""
        for running in self._running:
            _close(running.process)
        for running in self._running:
            running.process.wait()
        self._running.clear()


def spawn(
    config: RunConfig, folder: Path, threads: int, gpus: Sequence[str] | None
) -> "subprocess.Popen[bytes]":
    """Start the process of one cell; closing its stdin asks it to save its state and stop."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **_limits(threads)}
    if gpus is not None:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    command = [sys.executable, "-m", "mtl_framework.comparisons.worker", str(folder.resolve())]
    with (folder / OUTPUT).open("wb") as output:
        process = subprocess.Popen(
            [*command, "--threads", str(threads)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches the parent alone, which then asks to stop
        )
    assert process.stdin is not None
    # one that has died already tells by its exit status
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(config.model_dump_json().encode() + b"\n")
        process.stdin.flush()
    return process


def settle(folder: Path, process: "subprocess.Popen[bytes]") -> bool:
    """Tidy up after an ended process; true if it succeeded.

    A process that was killed leaves no traceback of its own: it gets a note here.
    """
    _close(process)
    status = process.wait()
    output = folder / OUTPUT
    text = output.read_text(encoding="utf-8", errors="replace") if output.exists() else ""
    if not text.strip():
        output.unlink(missing_ok=True)
    if status not in (0, 1):
        note_failure(folder, _why(status), text[-10_000:])
    elif status == 1 and not (folder / "traceback.txt").exists():
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


def _close(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def _limits(threads: int) -> Mapping[str, str]:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return dict.fromkeys(names, str(threads))


def machine_threads() -> int:
    """Threads that this process may use at a time: its cores, or fewer by OMP_NUM_THREADS."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(wanted)) if wanted.isdigit() and int(wanted) else cores


def gpu_groups(gpus: Sequence[str], gpus_per_run: float) -> list[tuple[str, ...]]:
    """The GPUs of every worker: one entry a worker that there is room for.

    Args:
        gpus: names of the machine's GPUs.
        gpus_per_run: a whole number, or a part of one, e.g. 0.5 for two runs a GPU.

    Raises:
        MtlError: if there are too few, or the number is neither.
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
