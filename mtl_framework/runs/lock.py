"""A run's folder is locked, so that one process writes into it at a time."""

import os
import socket
import time
from pathlib import Path

from filelock import FileLock, Timeout

from ..support.errors import MtlError
from ..support.files import make_folder, read_bytes, remove_quietly, write_text

LOCK = ".run.lock"
HOLDER = ".run.holder"


class FolderLock:
    """A lock keeps a folder for one process; the system releases it when the process dies.

    Args:
        folder: the folder to lock; :meth:`take` makes it if need be.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: FileLock | None = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            MtlError: naming the process that holds it, or why the folder cannot be locked.
        """
        if self._lock is not None:
            return
        make_folder(self._folder)
        # not reentrant within a process, so that two runs of one program do not meet either
        lock = FileLock(self._folder / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise MtlError(f"{self._folder} is in use by {self._holder()}") from None
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise MtlError(f"cannot lock {self._folder / LOCK}: {reason}") from error
        self._lock = lock
        started = time.strftime("%Y-%m-%d %H:%M:%S")
        here = f"process {os.getpid()} on {socket.gethostname()}, since {started}"
        try:
            write_text(self._folder / HOLDER, here + "\n")
        except MtlError:
            self.release()
            raise

    def check_unused(self) -> None:
        """Raise an error if somebody else holds the lock; nothing is written.

        Raises:
            MtlError: naming the process that holds it.
        """
        if self._lock is not None:
            return
        lock = FileLock(self._folder / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise MtlError(f"{self._folder} is in use by {self._holder()}") from None
        except (OSError, NotImplementedError):  # it cannot be told: whoever writes will see
            return
        lock.release()

    def release(self) -> None:
        """Release the lock, if this object holds it."""
        lock, self._lock = self._lock, None
        if lock is not None:
            remove_quietly(self._folder / HOLDER)
            lock.release()

    def _holder(self) -> str:
        try:
            text = read_bytes(self._folder / HOLDER).decode(errors="replace")
        except MtlError:
            return "another process"
        return " ".join(text.split())[:200] or "another process"
