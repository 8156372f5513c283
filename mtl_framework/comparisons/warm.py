"""This process has everything imported and forks one process for every cell.

``python -m mtl_framework.comparisons.warm --threads N`` reads a cell a line on stdin, as JSON with
its ``folder`` and its complete ``config``, runs one at a time, and answers with the cell's exit
status in a line on stdout (:mod:`.worker` says what it means; below 0: the signal that ended it).
When stdin closes, even because whoever started this was killed, the cell saves its state and stops;
when this process is killed, the cell notices, too.

A cell's process is as much one of its own as if it had been started from nothing: only the imports
are done. Nothing here starts a thread or touches a GPU, so that forking is safe.
"""

import argparse
import json
import os
import select
import signal
import sys
import threading
import traceback
from pathlib import Path

from ..runs.config import RunConfig
from .worker import OUTPUT, run_cell

_STDIN = 0
_PAUSE = 0.05  # seconds between two looks at the cell


def main() -> None:
    """Fork a process for every line on stdin until there are no more."""
    parser = argparse.ArgumentParser(prog="mtl_framework.comparisons.warm", description=__doc__)
    parser.add_argument("--threads", type=int)
    threads = parser.parse_args().threads
    answers = os.dup(1)
    os.dup2(2, 1)  # what imports print is no answer
    _import_all()
    left = b""
    while True:
        while b"\n" not in left:
            more = os.read(_STDIN, 65536)
            if not more:
                return
            left += more
        line, _, left = left.partition(b"\n")
        order = json.loads(line)
        status = _run(RunConfig.model_validate(order["config"]), Path(order["folder"]), threads)
        if status is None:
            return
        os.write(answers, f"{status}\n".encode())


def _import_all() -> None:
    """Import what every cell needs; a plugin's own code runs in the cells only."""
    import timm  # noqa: F401
    import torch  # noqa: F401
    import torchvision  # noqa: F401

    from ..runs import run  # noqa: F401


def _run(config: RunConfig, folder: Path, threads: int | None) -> int | None:
    """Run a cell in a forked process; return its exit status, ``None`` if nobody waits for it."""
    held, leash = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(leash)
        _be_cell(config, folder, threads, held)
    os.close(held)
    waited = True
    try:
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status) if waited else None
            # a cell comes only when the one before has ended: what can be read now is the end
            readable, _, _ = select.select([_STDIN] if waited else [], [], [], _PAUSE)
            if readable and not os.read(_STDIN, 1):
                waited = False
                os.kill(child, signal.SIGTERM)
    finally:
        os.close(leash)


def _be_cell(config: RunConfig, folder: Path, threads: int | None, held: int) -> None:
    """Run the cell in the forked process, and end that process."""
    status = 1
    try:
        for stream, name in ((0, os.devnull), (1, str(folder / OUTPUT))):
            handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
            os.dup2(handle, stream)
            os.close(handle)
        os.dup2(1, 2)
        threading.Thread(target=_stop_when_left_alone, args=(held,), daemon=True).start()
        status = run_cell(config, folder, threads)
    except BaseException:
        traceback.print_exc()
    finally:
        for output in (sys.stdout, sys.stderr):
            output.flush()
        os._exit(status)


def _stop_when_left_alone(held: int) -> None:
    while os.read(held, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
