"""Where a label is not known, people and programs write different markers of a missing value."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Shaped

from mtl_framework import UnknownNameError
from mtl_framework.data import MISSING_MARKERS

from .faults import listed
from .options import counted, option

# A number without leading zeros, which would make it a code, with a decimal point or comma
_PLAIN = re.compile(r"[+-]?(?:0|[1-9][0-9]*)(?:[.,][0-9]+)?(?:[eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Missing:
    """This class knows which texts say that a task has no label for a row.

    Args:
        more: markers beside ``MISSING_MARKERS``, for all tasks or by task.
        real: texts that are labels although they are in ``MISSING_MARKERS`` or ``more``, for all
            tasks or by task.
    """

    more: Sequence[str] | Mapping[str, Sequence[str]] = ()
    real: Sequence[str] | Mapping[str, Sequence[str]] = ()

    def wrong(self, tasks: Sequence[str]) -> list[UnknownNameError]:
        """Return an error for every option of a task that does not exist."""
        return [
            UnknownNameError(f"task in suite.{name}:", task, tasks)
            for name, given in (("missing", self.more), ("not_missing", self.real))
            for task in (given if isinstance(given, Mapping) else ())
            if task not in tasks
        ]

    def markers(self, task: str) -> frozenset[str]:
        """Return the markers of a task; with ``-1`` among them, ``-1.0`` is one, too."""
        more, real = _of(self.more, task), _of(self.real, task)
        whole = [f"{text}.0" for text in more if text.lstrip("-").isdecimal()]
        return MISSING_MARKERS.union(more, whole).difference(real)

    def _written_otherwise(self, task: str, texts: Shaped[np.ndarray, " _"]) -> list[str]:
        """Return texts that write a marker's number otherwise: -999.00 or -9.99E+02 for -999."""
        real = _of(self.real, task)
        numbers = {_number(text) for text in _of(self.more, task)} - {None}
        if not numbers:
            return []
        return [
            text
            for text in texts.tolist()
            if _PLAIN.fullmatch(text)
            and text not in real
            and _number(text.replace(",", ".")) in numbers
        ]

    def mask(
        self, task: str, values: Shaped[np.ndarray, "rows *numbers"]
    ) -> tuple[Bool[np.ndarray, " rows"], Counter[str]]:
        """Return which rows have a value, and how often each marker stands for a missing one.

        Args:
            task: name of the task.
            values: labels of all rows, texts or numbers. A number is missing if it is ``nan`` or
                in ``more``; a row of several numbers has a value if none of them is missing.
        """
        markers = self.markers(task)
        if values.dtype.kind in "US":
            texts = np.char.strip(values.astype(str))
            marked = np.isin(texts, list(markers))
            marked |= np.isin(texts, self._written_otherwise(task, np.unique(texts[~marked])))
            return ~marked, Counter(texts[marked].tolist())
        rows = values.reshape(len(values), math.prod(values.shape[1:]))
        marked = np.zeros(len(rows), bool)
        count: Counter[str] = Counter()
        if values.dtype.kind == "f":
            marked = np.isnan(rows).any(1)
            count["nan"] = int(marked.sum())
        for text in _of(self.more, task):
            number = _number(text)
            if number is not None and values.dtype.kind in "iuf":
                here = (rows == number).any(1) & ~marked
                count[text] += int(here.sum())
                marked |= here
        return ~marked, +count


def told(task: str, count: Mapping[str, int]) -> str:
    """Return a line that says what was taken as missing; empty if only empty cells were."""
    words = {marker: n for marker, n in count.items() if marker}
    if not words:
        return ""
    texts = listed([f"{marker!r} ({counted(n, 'time')})" for marker, n in words.items()])
    first = next(iter(words))
    return (
        f"{task!r}: {texts} taken as no label; {option('not_missing', task, first)} takes "
        f"{first!r} as a value"
    )


def _of(given: Sequence[str] | Mapping[str, Sequence[str]], task: str) -> Sequence[str]:
    return given.get(task, ()) if isinstance(given, Mapping) else given


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
