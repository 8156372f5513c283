"""How long a person waits: help, lists, the first step of a run, a prediction."""

import functools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import Row, arguments, at_most, finish, medians
from PIL import Image

MTL = str(Path(sys.executable).with_name("mtl"))
RUN = [MTL, "run", "--backbone", "dkl_convnet", "--suite", "digits", "--iterations", "1"]


def seconds(*command: str) -> float:
    """How long a command takes."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def seconds_to_first_step(folder: str) -> float:
    """How long a run of one iteration takes until it has done that step; then it ends by itself."""
    start, reached = time.perf_counter(), None
    command = [*RUN, "--json-lines", "--set", "log_every=1", "--output", folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if reached is None and json.loads(line)["event"] == "step":
                reached = time.perf_counter() - start
    assert process.returncode == 0
    assert reached is not None
    return reached


def light(repeats: int) -> list[Row]:
    """Commands that do without torch."""
    rows = []
    for what, target in (
        ("--help", 0.6),
        ("list plugins", 0.6),
        ("list strategies", 1.0),
        ("list backbones", 1.0),
    ):
        [median] = medians(functools.partial(seconds, MTL, *what.split()), repeats=repeats)
        rows.append(at_most(f"seconds, mtl {what}", median, target))
    return rows


def heavy(repeats: int, folder: Path) -> list[Row]:
    """Commands that need torch and timm, beside Python's own import of the two."""
    run, picture = str(folder / "run"), folder / "one.png"
    seconds(*RUN, "--output", run)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(pixels).save(picture)
    importing, first, predicting = medians(
        functools.partial(seconds, sys.executable, "-c", "import torch, timm"),
        lambda: seconds_to_first_step(tempfile.mkdtemp(dir=folder) + "/run"),
        functools.partial(seconds, MTL, "predict", run, "--task", "digit", str(picture)),
        repeats=repeats,
    )
    both = {"import": f"{importing:.2f} s"}
    return [
        at_most(
            "seconds, mtl run to its first step, less the import of torch and timm",
            first - importing,
            3.0,
            **both,
            run=f"{first:.2f} s",
        ),
        at_most(
            "mtl predict on one image / import of torch and timm",
            predicting / importing,
            1.5,
            **both,
            predict=f"{predicting:.2f} s",
        ),
    ]


def main() -> None:
    options = arguments(__doc__ or "")
    repeats = 3 if options.quick else 7
    with tempfile.TemporaryDirectory() as folder:
        finish([*light(repeats), *heavy(repeats, Path(folder))], options)


if __name__ == "__main__":
    main()
