"""Cells can run as tasks of a Ray cluster.

Every task starts the same process as on this machine. Where a node sees the comparison's folder
(one machine, or a shared file system), the cell runs there and can go on from its last state after
any accident. Elsewhere it runs in a temporary folder of the node, and the files are sent back at
its end. The nodes need this framework, and the same plugins, installed.
"""

import io
import os
import secrets
import signal
import socket
import tempfile
import threading
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

from ..runs.config import RunConfig
from ..support.errors import MtlError
from ..support.files import make_folder, remove_quietly, replacing, write_text
from .cells import note_failure
from .grid import Cell
from .processes import Ended, Executor, settle
from .workers import close, spawn

TOKEN = ".token"
_RETRIES = 5  # of a cell whose worker or node dies
_LEFT_BEHIND = {".lock", TOKEN}


class RayTasks(Executor):
    """This executor runs every cell as a Ray task.

    Args:
        address: address of the cluster; ``auto``: the one that runs on this machine, or else a new
            one.
        threads: number of CPUs that each cell asks for.
        gpus: number of GPUs that each cell asks for.

    Raises:
        MtlError: if Ray is not installed, no cluster answers, or no node has the resources.
    """

    def __init__(self, address: str, threads: int, gpus: float) -> None:
        self._ray = _import_ray()
        self._connect(address)
        self._threads, self._gpus = threads, gpus
        self._check_fits()
        self._task = self._ray.remote(work).options(
            num_cpus=threads, num_gpus=gpus, max_retries=_RETRIES
        )
        self._pending: dict[Any, tuple[Cell, Path]] = {}
        self._cancelled: set[Any] = set()

    def _connect(self, address: str) -> None:
        """Connect to a cluster, or start one, and keep this process's handler of SIGTERM."""
        before = signal.getsignal(signal.SIGTERM)
        try:
            self._init(address)
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)

    def _init(self, address: str) -> None:
        quiet = {"log_to_driver": False, "logging_level": "error"}
        if address != "auto":
            _check_reachable(address)
        try:
            self._ray.init(address=address, **quiet)
            return
        except ConnectionError as error:
            if address != "auto":
                raise MtlError(f"--ray: there is no Ray cluster at {address}") from error
        except ValueError as error:
            raise MtlError(f"--ray: {' '.join(str(error).split())}") from error
        self._ray.init(include_dashboard=False, **quiet)

    def _check_fits(self) -> None:
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(
            n.get("CPU", 0) >= self._threads and n.get("GPU", 0) >= self._gpus for n in nodes
        ):
            self._leave()
            raise MtlError(
                f"--ray: no node has {self._threads} CPUs and {self._gpus:g} GPUs for a run"
            )

    def has_room(self) -> bool:
        """Return whether the cluster, as large as it is now, can hold another cell."""
        there = self._ray.cluster_resources()
        room = there.get("CPU", 0) // self._threads
        if self._gpus:
            room = min(room, there.get("GPU", 0) // self._gpus)
        return len(self._pending) < max(1, int(room))

    def start(self, cell: Cell, folder: Path) -> None:
        """Submit a cell as a task."""
        make_folder(folder)
        token = secrets.token_hex(16)
        write_text(folder / TOKEN, token)
        arguments = (cell.config.model_dump_json(), str(folder.resolve()), token, self._threads)
        self._pending[self._task.remote(*arguments)] = (cell, folder)

    def ended(self) -> list[Ended]:
        """Return the cells whose task has ended since the last call."""
        if not self._pending:
            return []
        ready, _ = self._ray.wait(list(self._pending), num_returns=len(self._pending), timeout=0)
        found = []
        for reference in ready:
            cell, folder = self._pending.pop(reference)
            try:
                ok, files = self._ray.get(reference)
                if files is not None:
                    unpack(files, folder)
            except (self._ray.exceptions.RayError, MtlError) as error:
                ok = False
                if reference not in self._cancelled:
                    kind = type(error).__name__
                    note_failure(folder, f"the Ray task failed: {kind}", str(error))
            remove_quietly(folder / TOKEN)
            found.append(Ended(cell, ok))
        return found

    def cancel(self, cell: Cell) -> None:
        """Cancel the task of a cell."""
        for reference, (running, _) in self._pending.items():
            if running == cell and reference not in self._cancelled:
                self._cancelled.add(reference)
                self._ray.cancel(reference)

    def stop(self) -> None:
        """Let all cells save their state, wait for that, and leave the cluster."""
        references = list(self._pending)
        for reference in references:
            self._ray.cancel(reference)
        if references:
            self._ray.wait(references, num_returns=len(references), timeout=120)
        for _, folder in self._pending.values():
            remove_quietly(folder / TOKEN)
        self._pending.clear()
        self._leave()

    def _leave(self) -> None:
        self._ray.shutdown()


def work(config: str, folder: str, token: str, threads: int) -> tuple[bool, bytes | None]:
    """Run one cell on a node; return its success, and its files where they have to travel."""
    name, shared = Path(folder).name, _sees(Path(folder), token)
    here = Path(folder) if shared else Path(tempfile.gettempdir()) / "mtl-cells" / name
    # Ray has put the GPUs of this task into the environment, which the process inherits
    process = spawn(RunConfig.model_validate_json(config), here, threads, None)
    try:
        process.wait()
    finally:  # a cancelled task lets the cell save its state
        ok = _settle(here, process) if process.poll() is not None else _stop(process)
    return ok, None if shared else pack(here)


def _settle(folder: Path, process: Any) -> bool:
    close(process)
    return settle(folder, process.wait())


def _stop(process: Any) -> bool:
    process.stdin.close()
    process.wait()
    return False


def _sees(folder: Path, token: str) -> bool:
    try:
        return (folder / TOKEN).read_text() == token
    except OSError:
        return False


def pack(folder: Path) -> bytes:
    """Return a folder's files as one block of bytes."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name not in _LEFT_BEHIND:
                archive.write(path, path.relative_to(folder).as_posix())
    return data.getvalue()


def unpack(data: bytes, folder: Path) -> None:
    """Write packed files; the result comes last, so that a folder with one is complete.

    Raises:
        MtlError: if a file cannot be written, or would lie outside the folder.
    """
    root = folder.resolve()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in sorted(archive.namelist(), key=lambda n: n == "result.json"):
            path = (root / name).resolve()
            if not path.is_relative_to(root):
                raise MtlError(f"a Ray node sent a file outside the run's folder: {name}")
            make_folder(path.parent)
            with replacing(path) as temporary:
                temporary.write_bytes(archive.read(name))


def _check_reachable(address: str) -> None:
    """Refuse an address where nobody answers; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise MtlError(f"--ray should be auto, HOST:PORT or ray://HOST:PORT, found {address!r}")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        reason = error.strerror or error
        raise MtlError(f"--ray: there is no Ray cluster at {address} ({reason})") from error


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        return import_module("ray")
    except ImportError as error:
        raise MtlError(
            "--ray needs Ray: install it with `pip install 'mtl-framework[ray]'`"
        ) from error
