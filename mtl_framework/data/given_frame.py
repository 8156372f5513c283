"""Suites are made from pandas data frames that a program holds, a column a task."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, Shaped

from ..support.errors import MtlError, UnknownNameError
from .copies import copies_notes
from .examples import SPLITS
from .given import (
    GivenSuite,
    Kind,
    Part,
    check_kinds,
    check_names,
    guess_kind,
    make_task,
    named_type,
)
from .given_inputs import Reading
from .given_labels import GivenLabels, marked_notes
from .splits import SPLIT_NAMES, SplitSizes, known_split, make_splits
from .stratify import class_codes


def suite_from_frame(
    frame: Any,
    tasks: Sequence[str],
    inputs: Any,
    split: str | None,
    kinds: Mapping[str, Any],
    seed: int,
    reading: Reading,
) -> GivenSuite:
    """Make a suite of a data frame, see :meth:`Suite.from_frame`."""
    _check_frame(frame)
    _check_columns(tasks, "tasks")
    if not all(isinstance(column, str) for column in frame.columns):
        frame = frame.rename(columns=str)
    inputs = [inputs] if isinstance(inputs, str) else inputs
    named = isinstance(inputs, Sequence)
    if named:
        _check_columns(inputs, "inputs")
    columns = Counter(frame.columns)
    for column in (*tasks, *(inputs if named else ()), *(() if split is None else (split,))):
        if column not in columns:
            raise UnknownNameError("column of the frame", str(column), list(columns))
        if columns[column] > 1:
            raise MtlError(f"the frame has {columns[column]} columns {column!r}")
    check_kinds(kinds, tasks)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**31:
        raise MtlError(f"seed should be an integer from 0 to 2147483647, found {seed!r}")
    rows, hints = (
        (torch.from_numpy(_numbers(frame, inputs)), [])
        if named
        else reading.read(inputs, "argument inputs")
    )
    if len(rows) != len(frame):
        raise MtlError(
            f"inputs should have a row for each of the frame's {len(frame)}, found {len(rows)}"
        )
    columns_of = {task: _column(task, frame[task], kinds.get(task)) for task in tasks}
    members = _members(frame, split, list(columns_of.values()), seed)
    parts = {part: rows[torch.from_numpy(numbers)] for part, numbers in members.items()}
    made, notes = [], hints
    for task, column in columns_of.items():
        of = {
            part: Part(
                parts[part],
                column.labels[numbers],
                None if column.present[numbers].all() else column.present[numbers],
            )
            for part, numbers in members.items()
        }
        done = make_task(task, of, kinds.get(task), f"column {task!r}")
        made.append(replace(done, pictures=reading.pictures))
        notes += [*marked_notes(task, [column.given]), *done.notes]
        notes += _lacking(task, column, members)
    return GivenSuite(made, True, [*notes, *copies_notes(tasks[0], made[0].splits)])


def _check_frame(frame: Any) -> None:
    if not all(hasattr(frame, needed) for needed in ("columns", "rename", "loc")):
        raise MtlError(f"frame should be a pandas data frame, found {named_type(frame)}")


def _check_columns(names: Any, argument: str) -> None:
    """Refuse what is no list of different names."""
    if isinstance(names, str) or not isinstance(names, Sequence) or not names:
        raise MtlError(f"{argument} should be a list of names of columns, found {names!r}")
    check_names(names, "a column's")
    for name, times in Counter(names).items():
        if times > 1:
            raise MtlError(f"{argument} names column {name!r} {times} times")


def _numbers(frame: Any, columns: Sequence[str]) -> Float32[np.ndarray, "rows columns"]:
    """Return columns as features; those of texts, dates or objects are refused by name."""
    features = np.empty((len(frame), len(columns)), np.float32)
    for n, column in enumerate(columns):
        check_numbers(frame[column], column)
        try:
            features[:, n] = frame[column].to_numpy(np.float32)
        except (TypeError, ValueError) as error:
            raise MtlError(f"column {column!r} of inputs should hold numbers ({error})") from error
    return features


def check_numbers(values: Any, column: str) -> None:
    """Refuse a column of what would become numbers, but means something else.

    Raises:
        MtlError: naming the column, what was found and what to write.
    """
    found, remedy = "", ""
    if (kind := values.dtype.kind) in _MEANINGS:
        found, remedy = f"{_MEANINGS[kind]} ({values.dtype})", _REMEDIES[kind]
    elif kind == "O":
        cells = (value for value in values[values.notna()] if not isinstance(value, _NUMBERS))
        cell = next(cells, None)
        found = "" if cell is None else f"{cell!r} ({named_type(cell)})"
    if found:
        raise MtlError(f"column {column!r} of inputs should hold numbers, found {found}{remedy}")


_NUMBERS = (int, float, np.integer, np.floating, np.bool_, Decimal, Fraction)
_MEANINGS = {"M": "dates", "m": "durations", "c": "complex numbers"}
_REMEDIES = {
    "M": ": make numbers of them, e.g. (frame[column] - frame[column].min()).dt.days",
    "m": ": make numbers of them, e.g. frame[column].dt.total_seconds()",
    "c": ": make two columns of them, e.g. frame[column].map(abs) and frame[column].map(np.angle)",
}


@dataclass(frozen=True)
class _Column:
    """A frame's column as labels: which rows have one, and the class of each for stratifying."""

    given: GivenLabels
    labels: Shaped[np.ndarray, " rows"]
    present: Bool[np.ndarray, " rows"]
    strata: Int64[np.ndarray, " rows"] | None


def _column(name: str, column: Any, kind: Kind | None) -> _Column:
    present = column.notna().to_numpy(bool).copy()
    given = GivenLabels.of(column[present].to_numpy(), f"column {name!r}")
    values = given.values
    if given.present is not None:
        present[present] = given.present
        values = values[given.present]
    if values.dtype.kind not in "fiub":
        values = values.astype(str)
    elif values.dtype.kind == "f" and not present.all() and (values == np.round(values)).all():
        values = values.astype(np.int64)  # pandas makes floats of whole numbers with gaps
    labels: np.ndarray = np.zeros(len(column), values.dtype)
    labels[present] = values
    if (kind or guess_kind(values)) != "numbers":
        return _Column(given, labels, present, class_codes(labels, present))
    # numbers have no classes, but which rows have one should be alike in all splits
    known = None if present.all() else np.where(present, 0, -1)
    return _Column(given, labels, present, known)


def _lacking(task: str, column: _Column, members: Mapping[str, np.ndarray]) -> list[str]:
    """Return a line on classes that cannot be learned or measured, as they are too rare."""
    if column.strata is None or (column.strata[column.present] == 0).all():
        return []  # numbers
    classes, counts = np.unique(column.labels[column.present], return_counts=True)
    codes = {part: np.unique(column.strata[rows]) for part, rows in members.items()}
    everywhere = np.intersect1d(codes["train"], codes["test"])
    lost = ~np.isin(np.arange(len(classes)), everywhere) & (counts < len(SPLITS))
    if not lost.any():
        return []
    names = [str(name) for name in classes[lost][:3].tolist()]
    more = f" and {lost.sum() - len(names)} more" if lost.sum() > len(names) else ""
    return [
        f"{task}: {lost.sum()} of {len(classes)} classes have one row or two, and are not in both "
        f"training and test: {', '.join(names)}{more}; leave a column of such classes out of tasks"
    ]


def _members(
    frame: Any, split: str | None, columns: Sequence[_Column], seed: int
) -> dict[str, np.ndarray]:
    """Return the row numbers of every split, as a column names them or as tables draw them."""
    if split is None:
        strata = [column.strata for column in columns if column.strata is not None]
        sizes = SplitSizes(seed=seed).with_validation()
        others = len(strata) < len(columns)
        return make_splits({None: np.arange(len(frame))}, strata or None, sizes, others=others)
    lacking = np.flatnonzero(frame[split].isna().to_numpy(bool))
    if len(lacking):
        row = int(lacking[0])
        more = f", as {len(lacking) - 1} more do" if len(lacking) > 1 else ""
        raise MtlError(
            f"column {split!r} names no split in row {row} (index {frame.index[row]!r}){more}: "
            f"should be {', '.join(SPLITS)}"
        )
    names = np.array([str(name) for name in frame[split]])
    meant = {str(name): known_split(str(name)) for name in np.unique(names)}
    for name, known in meant.items():
        if known is None:
            raise UnknownNameError(f"split in column {split!r}", name, SPLIT_NAMES)
    splits = np.array([meant[str(name)] for name in names])
    found = {name: np.flatnonzero(splits == name) for name in SPLITS if (splits == name).any()}
    for name in ("train", "test"):
        if name not in found:
            raise MtlError(f"column {split!r} names no row {name!r}")
    return found
