"""Splits of a table's rows: named in a column, or made."""

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

#: The column that names splits where nobody says which, and what else it is called.
SPLIT = "split"
_ALSO = ("set", "subset", "partition", "phase", "fold", "usage")


def split_columns(split: str) -> list[str]:
    """Columns that may name splits, where only some are looked at."""
    forms = [form for word in (SPLIT, *_ALSO) for form in (word, word.capitalize(), word.upper())]
    return forms if split == SPLIT else [split]


def split_column(text: TextTable, split: str, others: Collection[str]) -> str | None:
    """The column that names every row's split; ``None``: there is none.

    Args:
        text: the table; its remarks get what a user should know.
        split: as the user says; :data:`SPLIT` need not exist: then the only column that holds
            nothing but names of splits is taken; empty: none.
        others: columns that are something else.

    Raises:
        UnknownNameError: if there is no such column.
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
    """Rows by the split that they name; all under ``None`` where there is no such column."""
    if split is None:
        return {None: np.arange(len(text.places))}
    found: dict[str | None, list[int]] = {}
    for row, cell in enumerate(text.columns[split]):
        try:
            found.setdefault(split_name(cell), []).append(row)
        except MtlError as error:
            faults.add(text.places[row], f"column {split!r}: {error}")
    return {name: np.array(rows) for name, rows in found.items()}


def once(
    rows: Int64[np.ndarray, " _"], text: TextTable, inputs: str, faults: Faults
) -> Int64[np.ndarray, " _"]:
    """The first row of every image: a second one could lie in another split."""
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
    """Rows by split: those given, and chosen ones that keep the shares of the tasks' classes.

    Raises:
        MtlError: if there are too few, or ``stratify_by`` is no column.
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
    try:
        return make_splits(rows, strata or None, sizes, cut_test=True)
    except MtlError as error:
        raise MtlError(f"{file}: {error}") from None
