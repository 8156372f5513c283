"""Tables are read from CSV and Parquet files, and their columns as classes or numbers."""

import csv
import datetime
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from mtl_framework import MtlError, message_of
from mtl_framework.data import picture_suffixes

from .dates import AS_NUMBER, is_date
from .decimals import swapped
from .dialects import TextRows, read_text
from .faults import Faults, no_file
from .kinds import PLAINLY, as_classes, is_dressed, number, truth
from .options import Kind, option

#: Name of the column with the inputs' paths, unless the user gives another.
INPUTS = "image"
_SHOWN = 40  # characters of a row's content in messages


@dataclass(frozen=True)
class TextTable:
    """This class holds the columns of a file as texts; an empty text is an empty cell.

    Args:
        names: names of all columns that the file has.
        columns: texts of the columns that are looked at, by name.
        lines: file and line of every row, for messages.
        positions: number of every row in the file, from 0; rows that cannot be read are left out.
        count: number of all rows in the file, also of those that are left out.
        contents: beginning of every row's content, for messages.
        remarks: lines that tell a user how the file was read.
        unread: for columns of the file that are not in ``columns``, the reason.
        decimal_commas: whether ``3,5`` is a number in this file.
        inputs: name of the column that holds the inputs' paths.
    """

    names: list[str]
    columns: dict[str, list[str]]
    lines: list[str]
    positions: list[int]
    count: int
    contents: list[str]
    remarks: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)
    decimal_commas: bool = False
    inputs: str = ""

    @cached_property
    def places(self) -> list[str]:
        """Return what every row is called in messages: file, line and beginning of its content."""
        rows = zip(self.lines, self.contents, strict=True)
        return [f"{line} ({text})" if text else line for line, text in rows]


def read_table(
    path: Path,
    faults: Faults,
    inputs: str,
    wanted: Collection[str] | None = None,
    encoding: str | None = None,
) -> TextTable:
    """Read a table from a text file (CSV, TSV and similar formats) or a Parquet file.

    Args:
        path: path of the file; ``.parquet`` and ``.pq`` are Parquet.
        faults: the collection that gets rows which cannot be read.
        inputs: name of the column with the inputs, whose cells stand for rows in messages.
        wanted: names of the columns that are looked at; ``None`` takes all.
        encoding: encoding of a text file; ``None`` recognises it.

    Raises:
        MtlError: if the file cannot be read, has no row or no header, or if two columns that are
            looked at have one name.
    """
    unread: dict[str, str] = {}
    looked_at = None if wanted is None else {inputs, *wanted}
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            text, unread = _read_parquet(path, looked_at)
        else:
            text = read_text(path, encoding, looked_at or {inputs}, faults)
    except FileNotFoundError:
        raise MtlError(no_file(path)) from None
    except IsADirectoryError:
        raise MtlError(
            f"{path} is a folder, and no table; the suite 'folders' reads some"
        ) from None
    except (OSError, ValueError, csv.Error) as error:
        reason = message_of(error)
        raise MtlError(f"cannot read {path} as a table: {reason}") from error
    names = text.names
    if not text.rows:
        if faults.found:
            faults.stop()
        raise MtlError(f"{path} has no row")
    _check_header(path, text, inputs, looked_at)
    if inputs == INPUTS and inputs not in names:
        inputs, told = _input_column(text, path)
        text.remarks.extend(told)
        looked_at = None if looked_at is None else {inputs, *looked_at}
    return _table(path, text, inputs, looked_at, unread)


def _table(
    path: Path,
    text: TextRows,
    inputs: str,
    looked_at: Collection[str] | None,
    unread: dict[str, str],
) -> TextTable:
    """Make the table of the columns that are looked at."""
    names, separator = text.names, " row " if text.delimiter == "" else ":"
    columns = {
        name: [cells[n] for _, _, cells in text.rows]
        for n, name in enumerate(names)
        if (looked_at is None or name in looked_at) and name not in unread
    }
    known = columns.get(inputs) or [", ".join(cells) for _, _, cells in text.rows]
    contents = [cell if len(cell) <= _SHOWN else f"{cell[:_SHOWN]}..." for cell in known]
    lines = [f"{path}{separator}{number}" for number, _, _ in text.rows]
    positions = [position for _, position, _ in text.rows]
    commas = text.delimiter not in ("", ",")
    return TextTable(
        names,
        columns,
        lines,
        positions,
        text.count,
        contents,
        text.remarks,
        unread,
        commas,
        inputs,
    )


def _check_header(path: Path, text: TextRows, inputs: str, wanted: Collection[str] | None) -> None:
    names = text.names
    for mark in (None, "::", *":^&~#") if len(names) == 1 else ():
        width = len(names[0].split(mark))
        if width > 1 and all(len(cells[0].split(mark)) == width for _, _, cells in text.rows[:10]):
            what = "blanks" if mark is None else repr(mark)
            raise MtlError(
                f"{path}: its cells seem to be separated by {what}, e.g. {names[0]!r}: put commas "
                "between them, and the names of the columns into the first row, e.g. "
                f"{inputs},label"
            )
    for n, name in enumerate(names):
        if names.count(name) > 1 and (wanted is None or name in wanted):
            if not name and not any(cells[n] for _, _, cells in text.rows):
                continue
            raise MtlError(
                f"{path}: column {name!r} occurs twice"
                if name
                else f"{path}: two columns have no name: write one into the first row"
            )
    if inputs not in names and any(number(name) is not None or _is_file(name) for name in names):
        row = ", ".join(map(repr, names[:5]))
        raise MtlError(
            f"{path} seems to have no header: its first row is {row}; put a row with the names of "
            f"the columns above it, e.g. {inputs},label"
        )


def _input_column(text: TextRows, path: Path) -> tuple[str, list[str]]:
    """Return the column of inputs, and a line if it does not have the usual name.

    A column is taken if it is the only one that holds names of pictures.
    """
    files = [
        name
        for n, name in enumerate(text.names)
        if all(_is_file(cells[n]) or not cells[n] for _, _, cells in text.rows)
        and any(cells[n] for _, _, cells in text.rows)
    ]
    if len(files) != 1:
        return INPUTS, []
    return files[0], [f"{path}: the column {files[0]!r} holds the names of the pictures"]


def _is_file(name: str) -> bool:
    return Path(name).suffix.lower() in {".npy", *picture_suffixes()} - {".im", ".ps"}


def _read_parquet(path: Path, wanted: Collection[str] | None) -> tuple[TextRows, dict[str, str]]:
    """Return the rows, and the reason why a column cannot be read as texts, by its name."""
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
    columns: list[list[str]] = []
    unread = {}
    for name, column in zip(names, table.columns, strict=True):
        texts = [""] * len(column)
        if wanted is None or name in wanted:
            try:
                texts = [_text(value) for value in column.to_pylist()]
            except ValueError as error:
                unread[name] = str(error)
        columns.append(texts)
    rows = [(n, n, list(cells)) for n, cells in enumerate(zip(*columns, strict=True))]
    return TextRows(names, rows, [], "", len(rows)), unread


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, str | int | float | Decimal):
        return str(value).strip()
    if isinstance(value, datetime.date | datetime.datetime):
        return value.isoformat()
    raise ValueError(f"holds cells of type {type(value).__name__}, neither texts nor numbers")


def parse_column(
    name: str,
    cells: Sequence[str],
    present: Bool[np.ndarray, " rows"],
    kind: Kind,
    places: Sequence[str],
    faults: Faults,
    commas: bool = False,
) -> tuple[np.ndarray, Bool[np.ndarray, " rows"]]:
    """Return the values of a column, and which rows have one.

    Args:
        name: name of the column.
        cells: text of every row.
        present: whether a row's text is something else than a marker of a missing value.
        kind: what the column holds: classes, binary or numbers.
        places: what every row is called in messages.
        faults: the collection that gets cells which hold something else; they have no value then.
        commas: whether decimals stand behind commas.

    Returns:
        texts for classes, int64 zeros and ones for binary, float64 numbers otherwise; and a mask.
    """
    present = present.copy()
    if kind == "classes":
        found = np.full(len(cells), "", object)
        texts = [cells[row] for row in np.flatnonzero(present).tolist()]
        if commas and all(number(swapped(text)) is not None for text in set(texts)):
            texts = [swapped(text) for text in texts]
        found[present] = as_classes(texts)
        return found.astype(str), present
    read, wanted = (truth, "0 or 1") if kind == "binary" else (number, "a number")
    values = np.zeros(len(cells), np.int64 if kind == "binary" else np.float64)
    most = float(np.finfo(np.float32).max)
    for row in np.flatnonzero(present).tolist():
        value = read(swapped(cells[row]) if commas else cells[row])
        if value is None:
            more = _remedy(cells[row]) if kind == "numbers" else ""
            way = option("missing", name, cells[row])
            faults.add(
                places[row],
                f"column {name!r} should hold {wanted}, found {cells[row]!r}{more}; where that "
                f"means no label: {way}",
            )
            present[row] = False
        elif abs(value) > most:
            faults.add(
                places[row],
                f"column {name!r}: {cells[row]!r} is beyond the range of single precision",
            )
            present[row] = False
        else:
            values[row] = value
    return values, present


def _remedy(cell: str) -> str:
    """Return how to write a text as a number if it looks like one, or like a date."""
    if is_date(cell):
        return f", which looks like a date; {AS_NUMBER}"
    if number(cell) is not None or number(swapped(cell)) is not None:
        return "; write all decimals with the same mark, and none between thousands"
    return f"; {PLAINLY}" if is_dressed(cell) else ""
