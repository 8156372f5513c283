"""A run beside a busy process: how much slower it is than alone, with threads that sleep or spin.

Both are the whole command, `mtl run`, with as many threads as the machine has processors. What
`mtl` decides, it decides when it starts, and the busy process is there before.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from common import Row, arguments, at_most, finish

ITERATIONS = (10, 60)
SHORT = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}
#: How threads wait, by what is said of it; nothing set: mtl decides.
WAYS: dict[str, tuple[dict[str, str], float]] = {
    "wait as mtl decides": ({}, 2.5),
    "sleep": ({"OMP_WAIT_POLICY": "passive"}, float("inf")),
    "spin shortly, then sleep": (SHORT, float("inf")),
    "spin": ({"OMP_WAIT_POLICY": "active"}, float("inf")),
}


def spin() -> None:
    """Keep a processor busy."""
    while True:
        pass


@contextmanager
def busy() -> Iterator[None]:
    """One process at work beside what is measured."""
    process = multiprocessing.get_context("spawn").Process(target=spin, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def run_seconds(way: dict[str, str], iterations: int) -> float:
    """How long the command takes from its start to its end."""
    decided = {"OMP_NUM_THREADS", *SHORT}
    environment = {k: v for k, v in os.environ.items() if k not in decided}
    program = [sys.executable, "-m", "mtl_framework", "run", "--strategy", "full_sharing"]
    with tempfile.TemporaryDirectory() as folder:
        place = ["--output", f"{folder}/run", "--quiet", "--iterations", str(iterations)]
        begin = time.perf_counter()
        subprocess.run([*program, *place], check=True, env=environment | way)
        return time.perf_counter() - begin


def per_iteration(way: dict[str, str]) -> float:
    """Seconds of an iteration: two runs of different length, so that their start cancels out."""
    short, long = (run_seconds(way, iterations) for iterations in ITERATIONS)
    return (long - short) / (ITERATIONS[1] - ITERATIONS[0])


def main() -> None:
    options = arguments(__doc__ or "")
    rows: list[Row] = []
    for name, (way, aim) in WAYS.items():
        alone = per_iteration(way)
        with busy():
            beside = per_iteration(way)
        what = f"beside a busy process / alone, threads {name}"
        rows.append(at_most(what, beside / alone, aim, ms=beside * 1e3, alone_ms=alone * 1e3))
        print(rows[-1], flush=True)
    finish(rows, options)


if __name__ == "__main__":
    main()
