"""Small tables of images."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from mtl_suites.table import table
from PIL import Image

from mtl_framework.data.tasks import Suite

COLUMNS = ("image", "split", "kind", "smiling", "age")


KINDS = ("cat", "dog", "fox")


def rows(count: int = 60) -> list[list[str]]:
    """Every fourth has no kind, every seventh no age."""
    made = []
    for n in range(count):
        split = ("train", "train", "val", "test", "train")[n % 5]
        kind = "" if n % 4 == 3 else KINDS[n % 3]
        age = "" if n % 7 == 2 else f"{n / 2 + 0.25}"
        made.append([f"faces/{n}.png", split, kind, str(n // 2 % 2), age])
    return made


def write(folder: Path, lines: list[list[str]], columns: tuple[str, ...] = COLUMNS) -> Path:
    (folder / "faces").mkdir(exist_ok=True)
    for n in range(len(lines)):
        Image.fromarray(np.full((6, 5, 3), n, np.uint8)).save(folder / "faces" / f"{n}.png")
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *lines])
    return folder / "table.csv"


def read(folder: Path, **options: Any) -> Suite:
    return table(**{"path": "table.csv", "data_root": str(folder), **options})
