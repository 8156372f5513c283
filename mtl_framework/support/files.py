"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import MtlError


def _usual_mode() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return 0o666 & ~mask


_MODE = _usual_mode()  # some writers give files to their owner alone


def temporary(path: Path) -> Path:
    """Where the next content of ``path`` is written before it takes its place.

    The name is always the same, so that what a killed process left is overwritten, not collected.
    """
    return path.with_name(f".{path.name}.tmp")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes ``path`` when the block ends without error.

    The content is on disk before the name changes, and the name before this returns.

    Raises:
        MtlError: naming the file and the system's reason if it cannot be written.
    """
    temp = temporary(path)
    try:
        yield temp
        temp.chmod(_MODE)
        _sync(temp)
        os.replace(temp, path)
        sync_directory(path.parent)
    except OSError as error:
        temp.unlink(missing_ok=True)
        raise MtlError(f"cannot write {path}: {error.strerror or error}") from error
    except BaseException:
        temp.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file in one go, as UTF-8.

    Raises:
        MtlError: if it cannot be written.
    """
    with replacing(path) as temp:
        temp.write_bytes(text.encode())


def sync_directory(directory: Path) -> None:
    """Make the names in a folder outlast a power cut, where the system can."""
    if os.name == "posix":
        _sync(directory, os.O_RDONLY)


def _sync(path: Path, flags: int = os.O_RDWR) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
