"""Tables of text: CSV and Parquet files, and what their columns hold."""

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from mtl_framework import MtlError

from .faults import Faults
from .labels import Kind

_TRUTH = {"true": "1", "false": "0"}
_NUMERIC = 0.9  # of a column's cells, for it to hold numbers, and the rest to be mistakes


@dataclass(frozen=True)
class TextTable:
    """A file's columns as text; an empty text is an empty cell.

    ``places`` says where every row stands, for messages; ``positions`` its number in the file,
    from 0, since rows that cannot be read are left out.
    """

    columns: dict[str, list[str]]
    places: list[str]
    positions: list[int]


def read_table(path: Path, faults: Faults) -> TextTable:
    """A table from a CSV file (or TSV, with tabs), or a Parquet file.

    Args:
        path: of the file; ``.parquet`` and ``.pq`` are Parquet.
        faults: gets rows that cannot be read.

    Raises:
        MtlError: if the file cannot be read, or has no row or two columns of one name.
    """
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            names, rows = _read_parquet(path)
        else:
            names, rows = _read_csv(path, faults)
    except FileNotFoundError:
        raise MtlError(f"there is no file {path}") from None
    except (OSError, ValueError, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise MtlError(f"cannot read {path} as a table: {reason}") from error
    for name in names:
        if names.count(name) > 1:
            raise MtlError(f"{path}: column {name!r} occurs twice")
    if not rows:
        raise MtlError(f"{path} has no row")
    places, positions, cells = zip(*rows, strict=True)
    columns = dict(zip(names, map(list, zip(*cells, strict=True)), strict=True))
    return TextTable(columns, list(places), list(positions))


Rows = list[tuple[str, int, list[str]]]


def _read_csv(path: Path, faults: Faults) -> tuple[list[str], Rows]:
    rows: Rows = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        tabs = path.suffix.lower() == ".tsv"
        reader = csv.reader(file, delimiter="\t" if tabs else ",", strict=True)
        names = [name.strip() for name in next(reader, [])]
        for position, cells in enumerate(row for row in reader if row):
            place = f"{path}:{reader.line_num}"
            if len(cells) == len(names):
                rows.append((place, position, [cell.strip() for cell in cells]))
            else:
                faults.add(place, f"has {len(cells)} cells, expected {len(names)}")
    return names, rows


def _read_parquet(path: Path) -> tuple[list[str], Rows]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MtlError(
            f"reading {path} needs pyarrow: pip install 'mtl-framework[parquet]', or save the "
            "table as CSV"
        ) from error
    with path.open("rb") as file:
        table = parquet.read_table(file)
    names = [str(name) for name in table.column_names]
    columns = [[_text(value) for value in column.to_pylist()] for column in table.columns]
    rows = [list(cells) for cells in zip(*columns, strict=True)]
    return names, [(f"{path} row {n}", n, cells) for n, cells in enumerate(rows)]


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, str | int | float):
        return str(value).strip()
    raise ValueError(f"cells should be texts or numbers, found {type(value).__name__}")


def infer_column(cells: Iterable[str]) -> Kind:
    """What the cells of a column that are not empty hold.

    0 and 1, or true and false, are binary; other whole numbers and texts are classes; numbers
    with decimals are numbers, also where a tenth of the cells is something else.
    """
    present = [cell for cell in cells if cell]
    if all(_truth(cell) is not None for cell in present):
        return "binary"
    numbers = [number for number in map(_number, present) if number is not None]
    decimals = any(not number.is_integer() for number in numbers)
    return "numbers" if decimals and len(numbers) >= _NUMERIC * len(present) else "classes"


def parse_column(
    name: str, cells: Sequence[str], kind: Kind, places: Sequence[str], faults: Faults
) -> tuple[np.ndarray, Bool[np.ndarray, " rows"]]:
    """Values of a column, and which rows have one.

    Whole numbers are written alike, so that ``3`` and ``3.0`` are one class.

    Args:
        name: of the column.
        cells: its texts; empty ones have no value.
        kind: what it holds.
        places: where the rows stand.
        faults: gets cells that hold something else; they have no value then.

    Returns:
        texts where the kind is classes, else int64 or float64 numbers; and a mask.
    """
    present = np.array([bool(cell) for cell in cells], bool)
    if kind == "classes":
        numbers = [_number(cell) for cell in cells if cell]
        if all(number is not None and number.is_integer() for number in numbers):
            return np.array([int(float(cell)) if cell else 0 for cell in cells]), present
        return np.array(cells), present
    read, wanted = (_truth, "0 or 1") if kind == "binary" else (_number, "a number")
    values: list[float] = []
    for row, cell in enumerate(cells):
        value = read(cell) if cell else None
        if cell and value is None:
            faults.add(places[row], f"column {name!r} should hold {wanted}, found {cell!r}")
            present[row] = False
        values.append(0 if value is None else value)
    return np.array(values, np.int64 if kind == "binary" else np.float64), present


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _truth(cell: str) -> int | None:
    number = _number(_TRUTH.get(cell.lower(), cell))
    return int(number) if number in (0, 1) else None
