"""``mtl run --processes N`` starts the command N times, and looks after the processes."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import typer

from ..plugins.guard import failure_text
from ..support.errors import MtlError, ProblemsError, ProcessLostError
from ..support.interrupts import Interrupted
from ..support.processes import (
    LAUNCHER,
    LOST,
    NEEDED,
    asked_number,
    asked_processes,
    joined,
    speaks_for_all,
)

_GRACE = 5.0  # seconds that the others have to end by themselves once one has failed
_PATIENCE = 15.0  # seconds from SIGTERM to SIGKILL
_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


def started_here(processes: int | None, arguments: Sequence[str]) -> int | None:
    """Start as many processes of the same command, and return its exit status when all have ended.

    Args:
        processes: how many; ``None``: this one alone, or those that another program has started.
        arguments: the command line without the program's name.

    Returns:
        the status; ``None`` where this process itself is to do the work.

    Raises:
        MtlError: if the number is not one, or other than that of the processes already started.
    """
    if processes is None:
        return None
    if processes < 1:
        raise MtlError(f"--processes should be at least 1, found {processes}")
    already = asked_processes()
    if already > 1 and already != processes:
        raise MtlError(
            f"--processes is {processes}, but {already} processes were started already (WORLD_SIZE)"
        )
    if processes == 1 or already > 1:
        return None
    with _Processes(processes, arguments) as started:
        return started.wait()


def alone(command: str, instead: str) -> None:
    """Refuse a command that several processes were started for, and that is one process.

    Raises:
        MtlError, typer.Exit: for the first of them, and for the others.
    """
    count = asked_processes()
    if count > 1:
        if asked_number():
            raise typer.Exit(2)
        raise MtlError(f"mtl {command} is one process, and {count} were started: {instead}")


@contextmanager
def several() -> Iterator[bool]:
    """Train inside, together with the other processes where there are any; yields whether to speak.

    Errors end every process, and are shown in one line by one of them.

    Raises:
        MtlError, typer.Exit: for the one that is to speak, and for the others.
    """
    if asked_processes() == 1:
        yield True
        return
    with joined():
        try:
            yield asked_number() == 0
        except Interrupted as stopped:
            if asked_number():
                raise typer.Exit(128 + stopped.signal) from None
            raise
        except KeyboardInterrupt:
            if asked_number():
                raise typer.Exit(130) from None
            raise
        except ProblemsError as error:
            if not speaks_for_all(str(error), lost=False):
                raise typer.Exit(2) from None
            raise
        except Exception as error:
            lost = isinstance(error, ProcessLostError)
            text = str(error) if isinstance(error, MtlError) else failure_text(error)
            if not speaks_for_all(text or type(error).__name__, lost):
                raise typer.Exit(2) from None
            raise


class _Processes:
    """Processes of one command, each of which knows its number; they end when this one does."""

    def __init__(self, count: int, arguments: Sequence[str]) -> None:
        self._count = count
        self._arguments = list(arguments)
        self._running: list[subprocess.Popen[bytes]] = []
        self._former: dict[int, object] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="mtl-processes-")

    def __enter__(self) -> "_Processes":
        for number in _SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGINT:
                self._former[number] = signal.signal(number, self._forward)
        # a folder with a module's name shadows it only where that was so for this process, too
        here = [] if sys.path[0] in ("", os.getcwd()) else ["-P"]
        command = [sys.executable, *here, "-m", "mtl_framework", *self._arguments]
        port = _free_port()
        try:
            for number in range(self._count):
                environment = self._environment(number, port)
                # in a session of its own: a terminal's Ctrl-C comes once, by way of this process
                process = subprocess.Popen(command, env=environment, start_new_session=True)
                self._running.append(process)
        except OSError as error:
            self._end()
            raise MtlError(f"cannot start {self._count} processes: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        for number, handler in self._former.items():
            signal.signal(number, handler or signal.SIG_DFL)  # type: ignore[arg-type]
        self._folder.cleanup()

    def wait(self) -> int:
        """Wait for all of them, or end those that are left once one has failed.

        Returns:
            the first process's exit status, or that of the one that failed.

        Raises:
            MtlError: if a process ended without a word.
        """
        failed: int | None = None
        deadline = float("inf")
        while None in [process.poll() for process in self._running]:
            if failed is None and (failed := self._failed()) is not None:
                deadline = time.monotonic() + _GRACE
            if time.monotonic() > deadline:
                self._end()
            time.sleep(0.05)
        failed = self._failed() if failed is None else failed
        if failed is None:  # all is done, or all were asked to stop
            return max(process.returncode for process in self._running)
        status = self._running[failed].returncode
        if not any(self._file(number).exists() for number in range(self._count)):
            raise MtlError(self._lost(failed, status))
        return max(1, status)

    def _failed(self) -> int | None:
        """Return the first process that ended with an error, not by a signal that it answered."""
        codes = [process.returncode for process in self._running]
        return next((n for n, code in enumerate(codes) if code and code < 128), None)

    def _lost(self, number: int, status: int) -> str:
        """Return the line about a process that ended without one; another may know what is kept."""
        how = f"was ended by {_name(-status)}" if status < 0 else f"ended with status {status}"
        kept = "; what was saved before is kept: go on with --resume and --output"
        for other in range(self._count):
            with suppress(OSError):
                text = self._file(other).with_suffix(LOST).read_text(encoding="utf-8")
                kept = text[text.index(";") :] if ";" in text else kept
        return f"process {number + 1} of {self._count} {how}, and the others with it{kept}"

    def _environment(self, number: int, port: int) -> Mapping[str, str]:
        cores = os.cpu_count() or 1
        threads = os.environ.get("OMP_NUM_THREADS", str(max(1, cores // self._count)))
        own = dict(zip(NEEDED, (number, self._count, "127.0.0.1", port), strict=True))
        return {
            **os.environ,
            **{name: str(value) for name, value in own.items()},
            "LOCAL_RANK": str(number),
            "LOCAL_WORLD_SIZE": str(self._count),
            "OMP_NUM_THREADS": threads,
            "TORCHELASTIC_ERROR_FILE": str(self._file(number)),
            LAUNCHER: str(os.getpid()),
        }

    def _file(self, number: int) -> Path:
        return Path(self._folder.name) / f"error-{number}.json"

    def _forward(self, number: int, frame: FrameType | None) -> None:
        for process in self._running:
            if process.poll() is None:
                process.send_signal(number)

    def _end(self) -> None:
        """Ask the processes that are left to end, then end them."""
        left = [process for process in self._running if process.poll() is None]
        for process in left:
            process.terminate()
        deadline = time.monotonic() + _PATIENCE
        for process in left:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            if process.poll() is None:
                process.kill()
                process.wait()


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
