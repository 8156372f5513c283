"""Labels of a task in arrays are classes, zeros and ones, or numbers, and some rows lack them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from mtl_framework.data import class_codes

from .options import Kind, option
from .suspects import constant_hints


@dataclass(frozen=True)
class Labels:
    """This class holds the labels of a task, with an entry for every row of its table.

    Args:
        task: name of the task.
        kind: whether the labels are classes, binary or numbers.
        values: the label of every row: one value, or several numbers.
        present: whether a row has a label.
    """

    task: str
    kind: Kind
    values: Shaped[np.ndarray, "rows *numbers"]
    present: Bool[np.ndarray, " rows"]

    @property
    def names(self) -> list[str]:
        """Return the labels that occur, sorted and as texts, which are the names of classes."""
        return [str(value) for value in np.unique(self.values[self.present])]

    @property
    def strata(self) -> Int64[np.ndarray, " rows"]:
        """Return the number of every row's class, and -1 for rows without a label."""
        return class_codes(self.values, self.present)

    def constant(self, members: Mapping[str, Int64[np.ndarray, " _"]]) -> list[str]:
        """Lines on splits in which all labels are the same."""
        return constant_hints(self.task, self.kind, self.values, self.present, members)

    def of(self, rows: Int64[np.ndarray, " _"]) -> Int64[np.ndarray, " _"]:
        """Return those of the given row numbers whose rows have a label."""
        return np.asarray(rows[self.present[rows]])

    def only(self, rows: Int64[np.ndarray, " _"]) -> "Labels":
        """Return a copy in which only the given rows have labels."""
        present = np.zeros(len(self.present), bool)
        present[rows] = True
        return replace(self, present=self.present & present)


class Columns(NamedTuple):
    """An array of labels belongs to one task, or has a column for each of several tasks.

    Attributes:
        parts: name and labels of every task.
        kind: what the labels of all these tasks are, where the array as a whole says so.
        remark: a line that tells the user how the array was taken; empty if there is no choice.
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
    """Divide an array with several labels in each row into the labels of tasks.

    An array in which every row has a single 1 among zeros is one task whose classes are the
    columns. In other arrays of zeros and ones every column is a task. Any other array is one task
    of several numbers, unless ``kind`` says that it holds classes, when every column is a task.

    Args:
        task: name of the task, or beginning of the names of the columns' tasks.
        values: labels of every row; nan where a label is missing.
        kind: what the user says that the labels are.
        names: names of the columns, which are used if there is a different one for each.
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
    """Return classes that are stored as floats as whole numbers, or as texts if some are not whole.

    Args:
        values: the class of every row.
        present: whether a row has a label; other rows get 0.
    """
    known = np.where(present, values, 0)
    whole = bool((known == np.round(known)).all())
    return known.astype(np.int64) if whole else known.astype(str)
