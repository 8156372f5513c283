"""Labels that a program holds: which rows have one, where some have None, nan or a marker."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, Shaped
from torch import Tensor

from ..support.errors import MtlError

_WORDS = ("nan", "na", "n/a", "#n/a", "#na", "<na>", "null", "none", "nat")
_SHOWN = 5  # classes that a line names
_CASED = ("NaN", "None", "Null", "NaT", "-nan", "-NaN")
# What spreadsheets write where a formula has no value; the last one is German for #N/A
_ERRORS = ("#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!", "#NV")

#: Texts that mean: there is no label. ``Na`` is none of them, since it is sodium.
MISSING_MARKERS = frozenset(
    ["", "?", "-", *_WORDS, *(word.upper() for word in _WORDS), *_CASED, *_ERRORS],
)


@dataclass(frozen=True)
class GivenLabels:
    """This class holds the labels of a split, or of a column.

    Args:
        values: label of every row; rows without a label have any value.
        present: whether a row has a label; ``None`` if all rows have one.
        marked: how often each marker stands for a missing label.
    """

    values: Shaped[np.ndarray, "rows *numbers"]
    present: Bool[np.ndarray, " rows"] | None = None
    marked: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, given: Any, where: str) -> "GivenLabels":
        """Find the rows that have a label: not ``None``, ``nan``, or one of the markers.

        Args:
            given: labels (N,) or (N, numbers): an array, a tensor, or a sequence of them.
            where: the task and split, for messages.

        Raises:
            MtlError: if they are no such labels.
        """
        array = _as_array(given, where)
        array = array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
        if array.dtype.kind == "f":
            known = ~np.isnan(array.reshape(len(array), -1)).any(1)
            return cls(array, None if known.all() else known)
        if array.dtype.kind not in "OUS" or array.ndim != 1:
            return cls(array.astype(str) if array.dtype.kind == "O" else array)
        texts = np.array([str(value).strip() for value in array.astype(object)], dtype=str)
        known = ~np.isin(texts, list(MISSING_MARKERS))
        if array.dtype.kind == "O":  # numbers beside None stay numbers
            rest = np.array([_plain(value) for value in array[known].tolist()])
            rest = rest.astype(str) if rest.dtype.kind == "O" or rest.ndim != 1 else rest
            array = np.zeros(len(array), rest.dtype)
            array[known] = rest
        return cls(array, None if known.all() else known, Counter(texts[~known].tolist()))


_NO_LABELS = (date, timedelta, np.datetime64, np.timedelta64, complex, np.complexfloating)
_MEANINGS = {"M": "dates", "m": "durations", "c": "complex numbers", "V": "records"}


def _plain(label: Any) -> Any:
    """Return exact numbers of Python's as floats, which are no classes."""
    return float(label) if isinstance(label, Decimal | Fraction) else label


def _as_array(given: Any, where: str) -> np.ndarray:
    if isinstance(given, Tensor):
        given = given.detach().cpu().numpy()
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise MtlError(f"{where}: labels should be of one length in every row") from error
    if array.dtype.kind == "O" and array.ndim == 1:  # e.g. a frame's column of lists
        for row, label in enumerate(array):
            if not isinstance(label, Hashable) or isinstance(label, tuple):
                raise MtlError(
                    f"{where}: the label of row {row} should be one value, found {label!r}"
                )
            if isinstance(label, _NO_LABELS):
                raise MtlError(
                    f"{where}: labels should be numbers or texts, found {label!r} in row {row}: "
                    "make one of them beforehand"
                )
    if array.dtype.kind in _MEANINGS:
        raise MtlError(
            f"{where}: labels should be numbers or texts, found {_MEANINGS[array.dtype.kind]}, "
            f"{array.dtype}: make one of them beforehand"
        )
    if not array.ndim:
        raise MtlError(
            f"{where}: labels should be one a row, (N,) or (N, numbers), found {given!r}"
        )
    return array


def marked_notes(task: str, labels: Iterable[GivenLabels]) -> list[str]:
    """Say which texts were taken as no label; nothing where there is none but empty ones."""
    count: Counter[str] = Counter()
    for part in labels:
        count += part.marked
    words = [
        f"{marker!r} ({times} time{'s' * (times > 1)})" for marker, times in count.items() if marker
    ]
    if not words:
        return []
    return [
        f"task {task!r}: {', '.join(words)} taken as no label; a class that is called so needs "
        "another name"
    ]


def unlearned_notes(
    task: str, codes: Mapping[str, Int64[Tensor, " _"]], names: Sequence[str]
) -> list[str]:
    """Say which classes other splits have and the training split lacks.

    Args:
        task: name of the task.
        codes: class of every labelled example, by split.
        names: names of the classes; empty: they have none.
    """
    known = set(codes["train"].tolist())
    lines = []
    for split, found in codes.items():
        count = Counter(found.tolist())
        texts = [
            f"{names[code] if names else str(code)!r} ({count[code]} there)"
            for code in sorted(set(count) - known)
        ]
        if texts:
            more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
            lines.append(
                f"task {task!r}: no training example of {', '.join(texts[:_SHOWN])}{more}, which "
                f"{split} has: networks cannot know such a class"
            )
    return lines
