"""Kills a run at every point of its writing, goes on with it, and compares. A script of its own.

    python kill_everywhere.py FOLDER STRATEGY STRIDE SECOND_KILLS

Each run happens in a forked process, which kills itself with SIGKILL at its n-th file operation:
before it, or, for those that write, when half of it is done. Every STRIDE-th such point is tried,
and SECOND_KILLS random pairs of them. Prints the number of points.
"""

import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from support.tiny import content, start

Halfway = Callable[..., None]


def half_of_bytes(write: Callable[..., Any]) -> Halfway:
    return lambda target, data: write(target, data[: len(data) // 2])


def half_of_file(save: Callable[..., Any]) -> Halfway:
    def half(tensors: Any, path: Path) -> None:
        save(tensors, path)
        os.truncate(path, path.stat().st_size // 2)

    return half


OPERATIONS: list[tuple[Any, str, Callable[..., Halfway] | None]] = [
    (os, "mkdir", None), (os, "open", None), (os, "fsync", None), (os, "replace", None),
    (os, "unlink", None), (os, "ftruncate", None), (os, "write", half_of_bytes),
    (Path, "write_bytes", half_of_bytes), (safetensors.torch, "save_file", half_of_file),
]  # fmt: skip


def kill_at(point: int) -> None:
    """Make the point-th file operation from now on this process's last."""
    done = 0

    def watched(operation: Callable[..., Any], half: Halfway | None) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal done
            for halfway in (None, half) if half else (None,):
                done += 1
                if done == point:
                    if halfway:
                        halfway(*args)
                    os.kill(os.getpid(), signal.SIGKILL)
            return operation(*args, **kwargs)

        return call

    for place, name, halfway in OPERATIONS:
        operation = getattr(place, name)
        setattr(place, name, watched(operation, halfway(operation) if halfway else None))


def forked(directory: Path, strategy: str, point: int | None) -> bool:
    """Run in a process of its own; whether it was killed."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return True
        assert os.WEXITSTATUS(status) == 0, f"the run with point {point} failed"
        return False
    try:
        options = {"name": strategy} | ({"python_noise": True} if strategy == "soft" else {})
        run = start(directory, strategy=options, iterations=3, resume=directory.exists())
        if point is not None:
            kill_at(point)
        run.execute()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def main(folder: Path, strategy: str, stride: int, second_kills: int) -> int:
    torch.set_num_threads(1)
    os.fsync = lambda fd: None  # a killed process loses nothing that it has written
    forked(folder / "whole", strategy, None)
    expected = content(folder / "whole", python=True)
    point = 1 - stride
    killed = True
    while killed:
        point += stride
        directory = folder / f"killed-{point}"
        killed = forked(directory, strategy, point)
        if killed:
            forked(directory, strategy, None)
        assert content(directory, python=True) == expected, (
            f"another result after a kill at point {point}"
        )
        shutil.rmtree(directory)
    generator = random.Random(0)
    for number in range(second_kills):
        directory = folder / f"twice-{number}"
        points = [generator.randrange(1, point) for _ in range(2)]
        for each in points:
            forked(directory, strategy, each)
        forked(directory, strategy, None)
        assert content(directory, python=True) == expected, (
            f"another result after kills at points {points}"
        )
        shutil.rmtree(directory)
    return point


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
