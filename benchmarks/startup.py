"""How long a person waits: help, lists, and the first step of a run."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import Row, arguments, at_most, finish

MTL = str(Path(sys.executable).with_name("mtl"))


def seconds(*command: str) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    options = arguments(__doc__ or "")
    repeats = 3 if options.quick else 7
    rows: list[Row] = []
    for what, command, target in (
        ("mtl --help", [MTL, "--help"], 0.6),
        ("mtl list plugins", [MTL, "list", "plugins"], 0.6),
        ("mtl list strategies", [MTL, "list", "strategies"], 6.0),
    ):
        seconds(*command)
        median = statistics.median(seconds(*command) for _ in range(repeats))
        rows.append(at_most(f"seconds, {what}", median, target))
    with tempfile.TemporaryDirectory() as folder:
        run = [MTL, "run", "--backbone", "dkl_convnet", "--suite", "digits", "--iterations", "1"]
        rows.append(
            at_most(
                "seconds, mtl run of one iteration", seconds(*run, "--output", folder + "/r"), 30
            )
        )
    finish(rows, options)


if __name__ == "__main__":
    main()
