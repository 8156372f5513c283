"""What it costs that a run knows its data: digests, beside reading the data.

Shares of the processor time that building the suite takes, so that other work on the machine counts
little; files lie in the system's cache, as they do when they have just been read.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import Row, arguments, at_most, finish
from mtl_suites.arrays import arrays
from mtl_suites.file_contents import FileContents
from mtl_suites.folders import folders
from PIL import Image

from mtl_framework.data import read_image
from mtl_framework.runs.known_data import describe

REPEATS = 5


def processor_seconds(call: Callable[[], object]) -> float:
    """Median of the processor time of a call, after one that is not counted."""
    taken = []
    for _ in range(REPEATS + 1):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return statistics.median(taken[1:])


def draw(folder: Path, count: int, side: int = 224) -> list[Path]:
    """Smooth pictures in two classes, as JPEG of about the size that photographs have."""
    generator = np.random.default_rng(0)
    files = []
    for number in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, (28, 28, 3), dtype=np.uint8))
        files.append(folder / "set" / "ab"[number % 2] / f"{number}.jpg")
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(files[-1], quality=90)
    return files


def share(what: str, part: float, whole: float, aim: float, megabytes: float) -> Row:
    """A part of the time, with what it comes to."""
    return at_most(
        f"digests / building, {what}", part / whole, aim,
        digests=f"{1000 * part:.1f} ms", building=f"{1000 * whole:.0f} ms",
        data=f"{megabytes:.1f} MB", speed=f"{megabytes / part:.0f} MB/s",
    )  # fmt: skip


def main() -> None:
    options = arguments(__doc__ or "")
    pictures, rows_of_arrays = (200, 5000) if options.quick else (2000, 50000)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = draw(folder, pictures)
        megabytes = sum(file.stat().st_size for file in files) / 1e6
        whole = processor_seconds(lambda: folders(path="set", data_root=name, size=64))
        part = processor_seconds(lambda: FileContents().described(files, True))
        rows.append(share(f"{pictures} JPEG of 224 x 224", part, whole, 0.1, megabytes))
        read = [read_image(file) for file in files]
        contents = FileContents()

        def pixels() -> None:
            for file, picture in zip(files, read, strict=True):
                contents.add_pixels(file, picture)

        part = processor_seconds(pixels)
        megabytes = sum(picture.nbytes for picture in read) / 1e6
        rows.append(share(f"pixels of {pictures} JPEG of 224 x 224", part, whole, 0.2, megabytes))
        images = np.random.default_rng(0).integers(0, 256, (rows_of_arrays, 32, 32, 3), np.uint8)
        np.savez(folder / "a.npz", images=images, labels=np.arange(rows_of_arrays) % 10)
        whole = processor_seconds(lambda: arrays(path="a.npz", data_root=name))
        suite = arrays(path="a.npz", data_root=name)
        part = processor_seconds(lambda: describe(suite))
        what = f"{rows_of_arrays} images of 3 x 32 x 32 in an array"
        rows.append(share(what, part, whole, 1.0, images.nbytes / 1e6))
    finish(rows, options)


if __name__ == "__main__":
    main()
