"""Labels of a task in arrays: what they are, and which rows have one."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from .options import Kind
from .stratify import codes


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
        return codes(self.values, self.present)

    def of(self, rows: Int64[np.ndarray, " _"]) -> Int64[np.ndarray, " _"]:
        """Those of some rows that have a label."""
        return np.asarray(rows[self.present[rows]])

    def only(self, rows: Int64[np.ndarray, " _"]) -> "Labels":
        """These labels, but none for all other rows."""
        present = np.zeros(len(self.present), bool)
        present[rows] = True
        return replace(self, present=self.present & present)


def as_whole(
    values: Shaped[np.ndarray, " rows"], present: Bool[np.ndarray, " rows"]
) -> Shaped[np.ndarray, " rows"]:
    """Floats that are classes: as whole numbers where all are whole, else as texts."""
    known = np.where(present, values, 0)
    whole = bool((known == np.round(known)).all())
    return known.astype(np.int64) if whole else known.astype(str)
