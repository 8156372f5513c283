"""A cell's folder says whether its run is finished or failed, or how far it has come."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..networks.result import Result
from ..plugins.manager import Plugins
from ..runs.config import RunConfig
from ..runs.folder import RunFolder
from ..runs.records import State
from ..support.errors import MtlError
from ..support.files import kind_of, make_folder, read_bytes, remove, write_text
from .earlier import saved_config
from .grid import significant

TRACEBACK = "traceback.txt"
_TAIL = 65536


@dataclass(frozen=True)
class CellStatus:
    """A status says how far a cell has come, when no process works on it.

    A cell is ``stopped`` when it has begun and can go on. ``iteration`` is the last one that is
    logged, ``seconds`` the time until then, ``error`` the reason of a failure in one line.
    """

    state: State
    iteration: int = 0
    seconds: float = 0.0
    result: Result | None = None
    error: str | None = None


def inspect(folder: Path, config: RunConfig, plugins: Plugins | None = None) -> CellStatus:
    """Read a cell's folder; damaged files count as absent, and the run is done again.

    Args:
        folder: the folder of the run.
        config: the config of the cell.
        plugins: plugins that know which options an earlier config lacks; ``None``: nothing is added
            to the saved config.
    """
    files = RunFolder(folder)
    iteration, seconds = last_line(files.metrics)
    traceback = folder / TRACEBACK
    if kind_of(traceback) == "file":
        first = read_bytes(traceback).decode(errors="replace").partition("\n")[0]
        return CellStatus("failed", iteration, seconds, error=first)
    result = finished_result(folder, config, plugins)
    if result is not None:
        return CellStatus("done", result.iterations, result.seconds, result)
    begun = any(kind_of(p) for p in (files.config, files.checkpoints.directory))
    return CellStatus("stopped" if begun else "waiting", iteration, seconds)


def finished_result(
    folder: Path, config: RunConfig, plugins: Plugins | None = None
) -> Result | None:
    """Return the result of exactly this config; ``None`` unless its run has ended."""
    if kind_of(folder / "result.json") != "file":
        return None
    try:
        result = Result.load(folder)
        written = saved_config(folder, plugins)
    except MtlError:
        return None
    same = significant(written) == significant(config)
    whole = result.iterations == config.iterations or result.ended is not None
    return result if same and whole else None


def last_line(metrics: Path) -> tuple[int, float]:
    """Return iteration and seconds of a metrics file's last complete line; zeros for none."""
    try:
        with metrics.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            lines = file.read().split(b"\n")
    except OSError:
        return 0, 0.0
    for line in reversed(lines[:-1]):  # what stands after the last line end is not complete
        try:
            found: Any = json.loads(line)
            return int(found["iteration"]), float(found["seconds"])
        except (ValueError, KeyError, TypeError):
            continue
    return 0, 0.0


def note_failure(folder: Path, reason: str, details: str = "") -> None:
    """Write down why a cell failed: one line, then a traceback or its process's last output."""
    make_folder(folder)
    line = " ".join(reason.split())
    write_text(folder / TRACEBACK, f"{line}\n\n{details}" if details else f"{line}\n")


def reason_of(error: Exception) -> str:
    """Say why a run failed: a message for users as it is, other errors with their type."""
    return str(error) if isinstance(error, MtlError) else f"{type(error).__name__}: {error}"


def forget_failure(folder: Path) -> None:
    """Remove the note of a failure, before the cell is tried again."""
    remove(folder / TRACEBACK)
