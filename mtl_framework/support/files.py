"""Files are written whole or not at all, and every operation that fails says which file and why.

All that is done in a run's folder goes through these functions, so that a disk that fails, a folder
that disappears or a name that is too long is one line that names file and reason. What only tidies
up (:func:`remove_quietly`) never raises.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from .errors import MtlError


def _usual_mode() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return 0o666 & ~mask


_MODE = _usual_mode()  # some writers give files to their owner alone


def temporary(path: Path) -> Path:
    """Return the path in which the next content of ``path`` is written before it takes its place.

    The name is always the same, so that what a killed process left is overwritten, not collected.
    """
    return path.with_name(f".{path.name}.tmp")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; it becomes ``path`` when the block ends without error.

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
        remove_quietly(temp)
        raise _failed("write", path, error) from error
    except BaseException:
        remove_quietly(temp)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file in one go, as UTF-8.

    Raises:
        MtlError: if it cannot be written.
    """
    with replacing(path) as temp:
        temp.write_bytes(text.encode())


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        MtlError: naming the file and the system's reason.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise _failed("read", path, error) from error


def kind_of(path: Path) -> Literal["file", "folder", "other"] | None:
    """Return what kind of file a path is, links followed; ``None`` where there is nothing.

    Raises:
        MtlError: if the system does not say.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _failed("read", path, error) from error
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def names_in(folder: Path) -> list[str]:
    """Return the sorted names of what lies in a folder; none where there is no folder.

    Raises:
        MtlError: if it cannot be read.
    """
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _failed("read folder", folder, error) from error


def make_folder(path: Path) -> None:
    """Make a folder, and those it lies in, where they are not there.

    Raises:
        MtlError: if that cannot be done.
    """
    if kind_of(path) == "folder":
        return
    try:
        path.mkdir(parents=True, exist_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise _failed("make folder", path, error) from error


def remove(path: Path) -> None:
    """Remove a file, where it is there.

    Raises:
        MtlError: if that cannot be done.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _failed("remove", path, error) from error


def remove_quietly(path: Path) -> None:
    """Try to remove a file that nothing needs any more; a failure is not reported."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder; what cannot be read counts as nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(place, name)).st_size
    return total


def _failed(what: str, path: Path, error: OSError | ValueError) -> MtlError:
    reason = getattr(error, "strerror", None) or str(error)
    return MtlError(f"cannot {what} {path}: {reason}")


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
