"""A comparison's folder has one comparison at work in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..support.errors import MtlError
from ..support.files import make_folder

_LOCK = ".lock"


@contextmanager
def one_at_work(directory: Path) -> Iterator[None]:
    """Make a comparison's folder and hold it; the system lets go of it when a process dies.

    Raises:
        MtlError: if another comparison is at work there, or a file cannot be written.
    """
    try:
        make_folder(directory)
        with FileLock(directory / _LOCK, timeout=0):
            yield
    except Timeout as error:
        raise MtlError(f"another comparison is at work in {directory}") from error
    except OSError as error:
        raise MtlError(f"cannot write in {directory}: {error.strerror or error}") from error
