"""Labels of a task in arrays: what they are, and which rows have one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from mtl_framework.data import class_codes

from .options import Kind, option


@dataclass(frozen=True)
class Labels:
    """The labels of a task: one entry a row of its table.

    Args:
        task: whose they are.
        kind: what they are.
        values: one a row, or several numbers.
        present: which rows have one.
    """

    task: str
    kind: Kind
    values: Shaped[np.ndarray, "rows *numbers"]
    present: Bool[np.ndarray, " rows"]

    @property
    def names(self) -> list[str]:
        """What the classes are called by themselves."""
        return [str(value) for value in np.unique(self.values[self.present])]

    @property
    def strata(self) -> Int64[np.ndarray, " rows"]:
        """Number of every row's class, -1 where there is none."""
        return class_codes(self.values, self.present)

    def of(self, rows: Int64[np.ndarray, " _"]) -> Int64[np.ndarray, " _"]:
        """Those of some rows that have a label."""
        return np.asarray(rows[self.present[rows]])

    def only(self, rows: Int64[np.ndarray, " _"]) -> "Labels":
        """These labels, but none for all other rows."""
        present = np.zeros(len(self.present), bool)
        present[rows] = True
        return replace(self, present=self.present & present)


class Columns(NamedTuple):
    """What an array of labels is for: one task, or one a column.

    ``parts`` are names and values of the tasks, ``kind`` what those hold where that follows from
    the array as a whole, and ``remark`` what a user should know.
    """

    parts: list[tuple[str, Shaped[np.ndarray, "rows *numbers"]]]
    kind: Kind | None = None
    remark: str = ""


def columns_of(
    task: str,
    values: Shaped[np.ndarray, "rows *numbers"],
    kind: Kind | Literal["auto"],
    names: Sequence[str],
) -> Columns:
    """The tasks of an array with several labels a row.

    Rows with a single 1 among zeros are one-hot: one task, whose classes are the columns. Other
    columns of 0 and 1 (multi-label) are tasks of their own; whatever else stays one task of several
    numbers, unless ``kind`` says that the columns are classes.

    Args:
        task: whose labels these are.
        values: with a row an example; not a number (nan) where a label is missing.
        kind: as the user says.
        names: of the columns, used where there is one for each.
    """
    several = values.ndim == 2 and values.shape[1] > 1
    if not several or kind == "numbers":
        return Columns([(task, values)])
    marks = values.dtype.kind in "iufb" and bool(
        np.isin(values[~np.isnan(values.astype(np.float64))], [0, 1]).all()
    )
    other = option("kinds", task, "numbers")
    count = values.shape[1]
    if (
        marks
        and kind != "binary"
        and bool((values == 1).sum(1).min() == 1 == (values == 1).sum(1).max())
    ):
        remark = f"{task!r}: a single 1 in every row of {count}: taken as classes, one a column"
        more = f"; {option('kinds', task, 'binary')} makes every column a task"
        return Columns(
            [(task, values.argmax(1))], "classes", remark + (more if kind == "auto" else "")
        )
    if not marks and kind != "classes":
        way = option("kinds", task, "classes")
        remark = f"{task!r}: {count} numbers a row: taken as numbers; {way} makes a task a column"
        whole = values.dtype.kind in "iu"
        return Columns([(task, values)], None, remark if whole else "")
    called = list(names) if len(set(names)) == count == len(names) else range(count)
    parts = [(f"{task}_{name}", values[:, n]) for n, name in enumerate(called)]
    remark = f"{task!r}: {count} columns, each a task, {parts[0][0]!r} the first"
    if kind == "auto":
        remark += f"; {other} takes them as numbers of one task"
    return Columns(parts, "classes" if kind == "classes" else "binary", remark)


def as_whole(
    values: Shaped[np.ndarray, " rows"], present: Bool[np.ndarray, " rows"]
) -> Shaped[np.ndarray, " rows"]:
    """Floats that are classes: as whole numbers where all are whole, else as texts."""
    known = np.where(present, values, 0)
    whole = bool((known == np.round(known)).all())
    return known.astype(np.int64) if whole else known.astype(str)
