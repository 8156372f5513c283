"""This process runs one cell: ``python -m mtl_framework.comparisons.worker FOLDER``.

The first line on stdin is the run's complete config as JSON. Stdin then stays open for as long as
whoever started the process wants the run: when it closes, even because that process was killed, the
run saves its state and stops. Exit status 0: the result is there; 1: the run failed and its
traceback lies in the folder; anything else: it was stopped and can go on.
"""

import argparse
import os
import signal
import sys
import threading
import traceback
from pathlib import Path

from filelock import FileLock, Timeout

from ..runs.config import RunConfig
from ..support.allocator import keep_freed_memory
from ..support.files import kind_of, make_folder
from ..support.interrupts import Interrupted
from .cells import finished_result, forget_failure, note_failure, reason_of

LOCK = ".lock"
OUTPUT = "output.txt"
_STDIN = 0
_PATIENCE = 120.0  # seconds for another process to save this cell's state and leave


def main() -> None:
    """Run the cell and exit with its status."""
    parser = argparse.ArgumentParser(prog="mtl_framework.comparisons.worker", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    config = RunConfig.model_validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=_stop_when_left_alone, daemon=True).start()
    sys.exit(run_cell(config, arguments.folder, arguments.threads))


def run_cell(config: RunConfig, folder: Path, threads: int | None = None) -> int:
    """Run a cell, or go on with it, and return the exit status.

    Args:
        config: the complete config of the run.
        folder: the folder of the run; it need not exist.
        threads: number of torch's threads; ``None``: torch's own choice.
    """
    make_folder(folder)
    try:
        with FileLock(folder / LOCK, timeout=_PATIENCE):
            forget_failure(folder)
            return _run(config, folder, threads)
    except Timeout:
        note_failure(folder, "another process is at work in this folder")
        return 1


def _run(config: RunConfig, folder: Path, threads: int | None) -> int:
    try:
        keep_freed_memory()
        import torch

        from ..plugins.manager import Plugins
        from ..runs.run import Run

        if threads is not None:
            torch.set_num_threads(threads)
        begun = any(kind_of(folder / name) for name in ("config.yaml", "checkpoint"))
        plugins = Plugins.load()
        if finished_result(folder, config, plugins) is None:
            Run.start(config, plugins, folder, resume=begun).execute()
    except Interrupted as stopped:
        return 128 + stopped.signal
    except Exception as error:
        note_failure(folder, reason_of(error), traceback.format_exc())
        return 1
    return 0


def _stop_when_left_alone() -> None:
    # not through sys.stdin, whose lock a thread must not hold when the interpreter ends
    while os.read(_STDIN, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
