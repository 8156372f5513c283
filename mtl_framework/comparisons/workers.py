"""Workers run cells in processes of this machine, started one by one or forked."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..runs.config import RunConfig
from ..support.errors import MtlError
from ..support.files import make_folder
from .worker import OUTPUT

Process = subprocess.Popen[bytes]


class Worker(ABC):
    """A worker runs one cell at a time.

    Args:
        threads: number of threads that a cell may use.
        gpus: names of the GPUs that a cell may see; ``None``: all.
    """

    def __init__(self, threads: int, gpus: Sequence[str] | None) -> None:
        self.threads, self.gpus = threads, gpus
        self.process: Process | None = None

    @abstractmethod
    def start(self, config: RunConfig, folder: Path) -> None:
        """Begin to run a cell, or go on with it."""

    @abstractmethod
    def status(self) -> int | None:
        """Return the cell's exit status, below 0 for a signal; ``None`` while it runs."""

    def close(self) -> None:
        """Ask the cell to save its state and stop."""
        if self.process is not None:
            close(self.process)

    def wait(self) -> None:
        """Wait until the cell has saved its state and its process is gone."""
        if self.process is not None:
            self.process.wait()
            self.process = None

    def kill(self) -> None:
        """End all processes at once; what was saved before stays."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


class Cold(Worker):
    """This worker starts a new process for each cell."""

    def start(self, config: RunConfig, folder: Path) -> None:
        """Start a process for the cell."""
        self.process = spawn(config, folder, self.threads, self.gpus)

    def status(self) -> int | None:
        """Return the exit status of the cell's process; ``None`` while it runs."""
        assert self.process is not None
        status = self.process.poll()
        if status is not None:
            close(self.process)
            self.process = None
        return status


class Warm(Worker):
    """This worker has a process that forks one for each cell, see :mod:`.warm`."""

    def start(self, config: RunConfig, folder: Path) -> None:
        """Have a process forked for the cell, by one that is started for the first cell."""
        make_folder(folder)
        order = {"folder": str(folder.resolve()), "config": config.model_dump(mode="json")}
        line = json.dumps(order).encode() + b"\n"
        if self.process is None:
            command = [sys.executable, "-m", "mtl_framework.comparisons.warm"]
            self.process = _popen([*command, "--threads", str(self.threads)], self, None)
            assert self.process.stdout is not None
            os.set_blocking(self.process.stdout.fileno(), False)
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # one that has died tells by its exit status
            self.process.stdin.write(line)
            self.process.stdin.flush()

    def status(self) -> int | None:
        """Return the cell's status as the process tells it, or the latter's own if it died."""
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            return int(line)
        status = self.process.poll()
        if status is None:
            return None
        self.process = None
        return status or 1


def spawn(
    config: RunConfig, folder: Path, threads: int, gpus: Sequence[str] | None
) -> "subprocess.Popen[bytes]":
    """Start the process of one cell; closing its stdin asks it to save its state and stop.

    Raises:
        MtlError: if its folder cannot be written.
    """
    make_folder(folder)
    command = [sys.executable, "-m", "mtl_framework.comparisons.worker", str(folder.resolve())]
    worker = Cold(threads, gpus)
    process = _popen([*command, "--threads", str(threads)], worker, folder / OUTPUT)
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # one that has died tells by its exit status
        process.stdin.write(config.model_dump_json().encode() + b"\n")
        process.stdin.flush()
    return process


def close(process: Process) -> None:
    """Close a process's stdin."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def _popen(command: Sequence[str], worker: Worker, output: Path | None) -> Process:
    environment = {**os.environ, **_limits(worker.threads)}
    if worker.gpus is not None:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(worker.gpus)
    with contextlib.ExitStack() as stack:
        try:
            written = None if output is None else stack.enter_context(output.open("wb"))
        except OSError as error:
            raise MtlError(f"cannot write {output}: {error.strerror or error}") from error
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if written is None else written,
            stderr=subprocess.DEVNULL if written is None else subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches the parent alone, which then asks to stop
        )


def _limits(threads: int) -> Mapping[str, str]:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return dict.fromkeys(names, str(threads))
