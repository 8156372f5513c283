"""A column of a table names the split of every row, or splits are made at random."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from mtl_framework import MtlError, UnknownNameError
from mtl_framework.data import SplitSizes, class_codes, known_split, make_splits, split_name

from .column_tasks import Label
from .columns import TextTable
from .faults import Faults
from .options import option

#: Usual name of the column of splits, and other names that it may have.
SPLIT = "split"
_REMEDY = "write train, validation or test, or let rows be divided here with suite.split= (empty)"
_ALSO = ("set", "subset", "partition", "phase", "fold", "usage")


def split_columns(split: str) -> list[str]:
    """Return the columns that may name splits, so that they are read if not all columns are."""
    forms = [form for word in (SPLIT, *_ALSO) for form in (word, word.capitalize(), word.upper())]
    return forms if split == SPLIT else [split]


def split_column(text: TextTable, split: str, others: Collection[str]) -> str | None:
    """Return the column that names the split of every row, or ``None`` if there is none.

    Args:
        text: the table, whose remarks get a line if another column than ``split`` is taken.
        split: name of the column as the user gives it, or empty for no such column. If it is
            :data:`SPLIT` and does not exist, the only column that holds nothing but names of splits
            is taken.
        others: names of columns that serve another purpose.

    Raises:
        UnknownNameError: if a column that the user names does not exist.
    """
    if not split or split in text.columns:
        return split or None
    if split != SPLIT:
        raise UnknownNameError("column for suite.split:", split, text.names)
    named = [name for name, cells in text.columns.items() if _names_splits(cells)]
    named = [name for name in named if name not in others]
    if len(named) != 1:
        return None
    (name,) = named
    text.remarks.append(
        f"column {name!r} names splits, and is read so; {option('kinds', name, 'classes')} makes "
        "it a task"
    )
    return name


def _names_splits(cells: Sequence[str]) -> bool:
    splits = [known_split(cell) for cell in set(cells)]
    return None not in splits and "train" in splits and len(set(splits)) > 1


def given_splits(
    text: TextTable, split: str | None, faults: Faults
) -> dict[str | None, Int64[np.ndarray, " _"]]:
    """Return the rows by the split that a column names.

    Args:
        text: the table.
        split: name of the column; ``None`` puts all rows under the split ``None``.
        faults: the collection that gets rows which name no split.
    """
    if split is None:
        return {None: np.arange(len(text.places))}
    found: dict[str | None, list[int]] = {}
    for row, cell in enumerate(text.columns[split]):
        try:
            found.setdefault(split_name(cell), []).append(row)
        except MtlError as error:
            what = f"column {split!r}: {error}" if cell else f"column {split!r} is empty"
            faults.add(text.places[row], f"{what}; {_REMEDY}")
    return {name: np.array(rows) for name, rows in found.items()}


def once(
    rows: Int64[np.ndarray, " _"], text: TextTable, inputs: str, faults: Faults
) -> Int64[np.ndarray, " _"]:
    """Return the rows without those of images that an earlier row has, which are faults.

    A second row of an image could be in another split.
    """
    first: dict[str, int] = {}
    for row in rows.tolist() if inputs in text.columns else ():
        path = text.columns[inputs][row]
        if path and first.setdefault(path, row) != row:
            faults.add(
                text.places[row],
                f"{path} stands in {text.places[first[path]]} already; an example is one row, with "
                "a column a task",
            )
    repeated = set(rows.tolist()) - set(first.values()) if first else set()
    empty = {row for row in repeated if not text.columns[inputs][row]}
    return np.array([row for row in rows.tolist() if row not in repeated - empty], np.int64)


def rows_by_split(
    rows: Mapping[str | None, Int64[np.ndarray, " _"]],
    text: TextTable,
    labels: Sequence[Label],
    stratify_by: str | None,
    sizes: SplitSizes,
    file: Path,
) -> dict[str, Int64[np.ndarray, " _"]]:
    """Divide rows into the splits that are not given, keeping the shares of the tasks' classes.

    Args:
        rows: rows by the split that the table names; under ``None`` those without one.
        text: the table.
        labels: the tasks.
        stratify_by: name of the one column whose shares are kept; ``None`` takes those of all tasks
            with classes, an empty name none.
        sizes: sizes of the splits.
        file: the table's file, for messages.

    Raises:
        MtlError: if there are too few rows, or ``stratify_by`` is no column.
    """
    strata = [label.strata for label in labels if label.kind != "numbers"]
    if strata:
        strata += [label.strata for label in labels if label.kind == "numbers" and label.missing]
    if stratify_by:
        if stratify_by not in text.columns:
            raise UnknownNameError(f"column of {file} in stratify_by", stratify_by, text.names)
        strata = [class_codes(np.array(text.columns[stratify_by], dtype=str))]
    elif stratify_by is not None:
        strata = []
    if "validation" not in rows:
        sizes = sizes.with_validation()
    numbers = any(label.kind == "numbers" for label in labels) and not stratify_by
    try:
        return make_splits(rows, strata or None, sizes, cut_test=True, others=numbers)
    except MtlError as error:
        raise MtlError(f"{file}: {error}") from None
