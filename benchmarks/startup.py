"""How long a person waits: help, lists, the first step of a run, a prediction.

Aims are for an otherwise idle machine. Beside other work look at the processor's seconds, which
stand in the details: with ``OMP_NUM_THREADS=1`` they are about what an idle machine needs.
"""

import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import Row, arguments, at_most, finish
from PIL import Image

MTL = str(Path(sys.executable).with_name("mtl"))
RUN = [MTL, "run", "--backbone", "dkl_convnet", "--suite", "digits", "--iterations", "1"]


@dataclass(frozen=True)
class Spent:
    """Seconds of a command: on the wall, and of the processor."""

    wall: float
    processor: float


def whole(*command: str) -> Spent:
    """What a command takes."""
    start, before = time.perf_counter(), os.times()
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, os.times()
    user = after.children_user - before.children_user
    return Spent(wall, user + after.children_system - before.children_system)


def to_first_step(folder: str) -> Spent:
    """What a run of one iteration takes until it has done that step; then it ends by itself."""
    start, reached = time.perf_counter(), None
    command = [*RUN, "--json-lines", "--set", "log_every=1", "--output", folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if reached is None and json.loads(line)["event"] == "step":
                reached = Spent(time.perf_counter() - start, so_far(process.pid))
    assert process.returncode == 0
    assert reached is not None
    return reached


def so_far(pid: int) -> float:
    """The processor's seconds of a process that goes on; not a number where there is no /proc."""
    about = Path(f"/proc/{pid}/stat")
    if not about.exists():
        return float("nan")
    user, system = about.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def medians(*calls: Callable[[], Spent], repeats: int) -> list[Spent]:
    """Medians of calls in turn, after a round that is not counted."""
    rounds = [[call() for call in calls] for _ in range(repeats + 1)][1:]
    return [
        Spent(
            statistics.median(each.wall for each in column),
            statistics.median(each.processor for each in column),
        )
        for column in zip(*rounds, strict=True)
    ]


def light(repeats: int) -> list[Row]:
    """Commands that do without torch."""
    rows = []
    for what, target in (
        ("--help", 0.6),
        ("list plugins", 0.6),
        ("list strategies", 1.0),
        ("list backbones", 1.0),
    ):
        [median] = medians(functools.partial(whole, MTL, *what.split()), repeats=repeats)
        row = at_most(f"seconds, mtl {what}", median.wall, target, processor=median.processor)
        rows.append(row)
    return rows


def heavy(repeats: int, folder: Path) -> list[Row]:
    """Commands that need torch and timm, beside Python's own import of the two."""
    run, picture = str(folder / "run"), folder / "one.png"
    whole(*RUN, "--output", run)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(pixels).save(picture)
    importing, first, predicting = medians(
        functools.partial(whole, sys.executable, "-c", "import torch, timm"),
        lambda: to_first_step(tempfile.mkdtemp(dir=folder) + "/run"),
        functools.partial(whole, MTL, "predict", run, "--task", "digit", str(picture)),
        repeats=repeats,
    )
    return [
        at_most(
            "seconds, mtl run to its first step, less the import of torch and timm",
            first.wall - importing.wall,
            3.0,
            processor=first.processor - importing.processor,
            of=first.processor,
        ),
        at_most(
            "mtl predict on one image / import of torch and timm",
            predicting.wall / importing.wall,
            1.5,
            processor=predicting.processor / importing.processor,
            of=predicting.processor,
        ),
    ]


def main() -> None:
    options = arguments(__doc__ or "")
    repeats = 3 if options.quick else 7
    with tempfile.TemporaryDirectory() as folder:
        finish([*light(repeats), *heavy(repeats, Path(folder))], options)


if __name__ == "__main__":
    main()
