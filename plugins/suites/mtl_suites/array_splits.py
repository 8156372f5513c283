"""Where one array of inputs has the rows of all splits, other arrays may say which row is where.

An array with an entry for every row may name the splits (``split``, ``subset``), or arrays may say
for every split which rows are in it, by their numbers (``train_idx``) or by a mark for every row
(``train_mask``, ``is_test``).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from mtl_framework import MtlError, UnknownNameError
from mtl_framework.data import SPLITS, known_split, split_name

from .array_names import INPUT_WORDS, LABEL_WORDS, as_one_word
from .faults import listed
from .options import counted

#: What stands for a name where the names of arrays say which of them are about splits.
AUTO = "auto"
#: Name of the array that older versions look for; a user may give it even if it does not exist.
SPLIT = "split"

_NAMING = frozenset(["split", "splits", "subset", "subsets", "partition", "partitions", "set"])
# Words with other meanings, too: their arrays count only if all texts in them are names of splits.
_PERHAPS = frozenset(["sets", "phase", "stage", "usage", "mode", "part", "type", "purpose"])
_FOLDS = frozenset(["fold", "folds"])
_ROWS = frozenset(
    [
        *("idx", "idxs", "index", "indices", "indexes", "ind", "inds", "id", "ids"),
        *("mask", "masks", "rows", "row"),
    ]
)
_BETWEEN = re.compile(r"[_\-. ]+|(?<=[a-z])(?=[A-Z])")
_ABOUT_ALL = INPUT_WORDS | LABEL_WORDS | {"dataset"}

Rows = dict[str | None, Int64[np.ndarray, " _"]]


@runtime_checkable
class File(Protocol):
    """A file gives arrays by name.

    Attributes:
        names: names of all arrays.
        split: name of the array of splits that a user gives; ``auto`` if no user has said it, empty
            if no array names splits.
        first_row: number by which programs that write such files call the first row: 0 or 1.
    """

    names: list[str]
    split: str
    first_row: int

    def read(self, name: str) -> np.ndarray:
        """Return one array, which counts as read from now on."""

    def peek(self, name: str) -> np.ndarray | None:
        """Return one array without counting it as read; ``None`` if it cannot be read."""


@dataclass(frozen=True)
class SplitName:
    """This class holds what the name of an array says about splits.

    Args:
        role: what the array holds: ``names``, the split of every row; ``perhaps``, which may be the
            same; ``rows``, which rows are in a split; ``folds``, numbers of parts of a
            cross-validation.
        split: the split whose rows the array gives, with role ``rows``.
        task: name of the task whose rows are meant; empty if those of all tasks are.
        bare: whether the name is that of a split and nothing else, which may have other meanings.
    """

    role: Literal["names", "perhaps", "rows", "folds"]
    split: str | None
    task: str
    bare: bool = False


def split_meaning(key: str) -> SplitName | None:
    """Return what an array's name says about splits, or ``None`` if it says nothing.

    ``greek_split`` names the splits of rows of the task greek; ``train_idx`` has the numbers of the
    rows in training.
    """
    parts = [part for part in _BETWEEN.split(as_one_word(key)) if part]
    words = [part.lower() for part in parts]
    splits = [n for n, word in enumerate(words) if known_split(word)]
    ends = {0, len(parts) - 1}
    if len(splits) == 1:
        (at,) = splits
        marks = [n for n in ends if words[n] in _ROWS | {"is", "split"}]
        if marks or len(parts) == 1:
            rest = [part for n, part in enumerate(parts) if n != at and n not in marks]
            return SplitName("rows", known_split(words[at]), _task(rest), len(parts) == 1)
    if splits:
        return None
    for role, known in (("names", _NAMING), ("perhaps", _PERHAPS), ("folds", _FOLDS)):
        if named := [n for n in sorted(ends, reverse=True) if words and words[n] in known]:
            rest = [part for n, part in enumerate(parts) if n != named[0]]
            return SplitName(role, None, _task(rest))  # type: ignore[arg-type]
    return None


def _task(parts: list[str]) -> str:
    return "_".join(part for part in parts if part.lower() not in _ABOUT_ALL)


def says_splits(file: File, key: str) -> bool:
    """Say whether an array is about splits, so that it is not taken for the labels of a task."""
    told = _meanings(file).get(key)
    if told is None or key == file.split:
        return key == file.split
    return told.role != "perhaps" or _texts_are_splits(file.peek(key))


def rows_of(file: File, what: str, count: int, task: str | None) -> tuple[Rows, list[str]]:
    """Return the rows of every split as a file's arrays say, and lines that tell a user of it.

    All rows are under ``None`` if no array says which split they are in.

    Args:
        file: the arrays.
        what: what the inputs are called in messages.
        count: number of rows.
        task: name of the task that the inputs belong to; ``None`` if several tasks read them.

    Raises:
        MtlError: if an array does not fit; the message names it, what is wrong, and the remedy.
    """
    everything: Rows = {None: np.arange(count)}
    if file.split == "":
        return everything, []
    if file.split not in (AUTO, SPLIT):
        return _named(file, _spelled(file, file.split, task), what, count), []
    if file.split == SPLIT:  # arrays called so, and no others
        keys = [key for key in ([f"{task}_{SPLIT}"] if task else []) + [SPLIT] if key in file.names]
        return (_named(file, keys[0], what, count), []) if keys else (everything, [])
    for owner in ([task] if task else []) + [""]:
        mine = {key: told for key, told in _meanings(file).items() if told.task == owner}
        naming = list(_naming(file, mine, count))
        rows = {key: str(each.split) for key, each in mine.items() if each.role == "rows"}
        usable = {key: split for key, split in rows.items() if _may_say_rows(file.peek(key), count)}
        strict = [key for key in naming if _texts_are_splits(file.peek(key))]
        if len(strict) > 1:
            raise MtlError(
                f"{what}: {listed(strict)} both name splits; say which is meant with "
                f"suite.split={strict[0]}, or suite.split= (empty) for neither"
            )
        if strict or (naming and not usable):
            key = (strict or naming)[0]
            line = [] if key.lower().endswith(SPLIT) else [f"{what}: {key} names the splits"]
            return _named(file, key, what, count), line
        if set(usable.values()) - {"validation"}:  # which alone may mark what is valid
            return _by_rows(file, usable, what, count)
    return everything, []


def _meanings(file: File) -> dict[str, SplitName]:
    """Return, by name, what arrays say about splits.

    Arrays with the mere name of a split count only if ``train`` and one more split have one.
    """
    told = {key: each for key in file.names if (each := split_meaning(key))}
    bare = {each.split for each in told.values() if each.bare}
    alone = len(bare) < 2 or "train" not in bare
    return {key: each for key, each in told.items() if not (each.bare and alone)}


def _naming(file: File, told: Mapping[str, SplitName], count: int) -> Iterator[str]:
    """Yield the names of arrays that name the split of every row."""
    for key, each in told.items():
        array = file.peek(key) if each.role in ("names", "perhaps") else None
        if (
            array is not None
            and array.size == len(array) == count
            and (each.role == "names" or _texts_are_splits(array))
        ):
            yield key


def _spelled(file: File, name: str, task: str | None) -> str:
    keys = ([f"{task}_{name}"] if task else []) + [name]
    present = [key for key in keys if key in file.names]
    if not present:
        raise UnknownNameError("array for suite.split:", name, file.names)
    return present[0]


def _named(file: File, key: str, what: str, count: int) -> Rows:
    """Return the rows of every split by an array that names the split of every row."""
    array = file.read(key)
    if array.size != count or array.ndim not in (1, 2) or len(array) != count:
        raise MtlError(
            f"{what}: {key} should have one entry for every row, found shape {array.shape} for "
            f"{count}"
        )
    values = array.reshape(-1)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind != "U":
        present = ", ".join(str(value) for value in np.unique(values)[:4])
        raise MtlError(
            f"{what}: {key} should name the split of every row, found {values.dtype} ({present}): "
            f"save texts, e.g. {key}=numpy.array(['train', 'validation', 'test'])[{key}] where 0 "
            "is train, 1 validation and 2 test, or leave it out with suite.split= (empty)"
        )
    splits = {}
    for text in np.unique(values):
        try:
            splits[text] = split_name(str(text))
        except MtlError as error:
            row = int(np.flatnonzero(values == text)[0])
            raise MtlError(
                f"{what}: {key}, row {row}: {error}; suite.split= (empty) leaves the array out"
            ) from None
    names = np.array([splits[text] for text in values])
    return {split: np.flatnonzero(names == split) for split in SPLITS if split in names}


def _texts_are_splits(array: np.ndarray | None) -> bool:
    if array is None or array.dtype.kind not in "US" or array.ndim not in (1, 2):
        return False
    texts = np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array
    splits = [known_split(str(text)) for text in np.unique(texts)]
    return None not in splits and "train" in splits and len(set(splits)) > 1


def _may_say_rows(array: np.ndarray | None, count: int) -> bool:
    """Say whether an array may hold numbers of rows or a mark for every row, in some columns."""
    return (
        array is not None
        and array.size > 0
        and (
            (array.ndim in (1, 2) and _are_whole(array))
            or (array.dtype.kind == "b" and count in array.shape)
        )
    )


def _are_whole(array: np.ndarray) -> bool:
    """Say whether an array holds whole numbers, which MATLAB writes as floats."""
    if array.dtype.kind == "f":
        return bool(np.isfinite(array).all() and (array == np.floor(array)).all())
    return array.dtype.kind in "iu"


def _by_rows(file: File, keys: Mapping[str, str], what: str, count: int) -> tuple[Rows, list[str]]:
    """Return the rows of every split by arrays of row numbers, or of marks, for every split."""
    arrays: dict[str, tuple[str, np.ndarray]] = {}
    for key, split in keys.items():
        if split in arrays:
            raise MtlError(
                f"{what}: {arrays[split][0]} and {key} both say which rows are the {split} split; "
                "leave one out of the file, or both with suite.split= (empty)"
            )
        array = file.read(key)
        if array.size != max(array.shape):
            raise MtlError(
                f"{what}: {key} has shape {array.shape}, which seems to be several divisions: save "
                f"one of them, e.g. {key}={key}[0], or leave them out with suite.split= (empty)"
            )
        arrays[split] = key, array.reshape(-1)
    names = listed([key for key, _ in arrays.values()])
    numbered = [array for _, array in arrays.values() if not _is_mask(array, count)]
    first = _first_row(numbered, count, file.first_row)
    rows: Rows = {}
    for split in SPLITS:
        if split in arrays:
            key, array = arrays[split]
            mask = _is_mask(array, count)
            members = np.flatnonzero(array) if mask else array.astype(np.int64) - first
            _check_rows(members, array, f"{what}: {key}", count)
            rows[split] = np.sort(members)
    says = "says" if len(arrays) == 1 else "say"
    lines = [f"{what}: {names} {says} which rows are in which split"]
    if first and numbered:
        lines[0] += ", counted from 1"
    return _completed(rows, lines, what, names, count)


def _completed(
    rows: Rows, lines: list[str], what: str, names: str, count: int
) -> tuple[Rows, list[str]]:
    """Refuse rows in two splits, and say what becomes of those that are in none."""
    taken, times = np.unique(np.concatenate(list(rows.values())), return_counts=True)
    if (times > 1).any():
        row = int(taken[times > 1][0])
        raise MtlError(
            f"{what}: {names} have {counted(int((times > 1).sum()), 'row')} in two splits, e.g. "
            f"row {row}: correct them, or leave them out with suite.split= (empty)"
        )
    rest = np.setdiff1d(np.arange(count), taken)
    if not len(rest):
        return rows, lines
    missing = {"train"} - set(rows) or ({"test"} if set(rows) == {"train"} else set())
    if missing:
        (split,) = missing
        lines.append(f"{what}: {counted(len(rest), 'row')} not named there: {split}")
        return {s: {**rows, split: rest}[s] for s in SPLITS if s in {*rows, split}}, lines
    lines.append(f"{what}: {counted(len(rest), 'row')} in none of {names} are left out")
    return rows, lines


def _is_mask(array: np.ndarray, count: int) -> bool:
    """Say whether an array marks rows: True and False, or 0 and 1, with an entry for every row."""
    if len(array) != count:
        return False
    return array.dtype.kind == "b" or (count > 2 and bool(np.isin(array, (0, 1)).all()))


def _first_row(numbered: list[np.ndarray], count: int, habit: int) -> int:
    """Return the number of the first row, 0 or 1.

    Numbers from 1 to the number of rows count from 1. Those that fit both ways count as programs do
    that write such files (``habit``): among 100 rows, 1 to 99 may be either.
    """
    if not numbered:
        return 0
    least = min(int(array.min()) for array in numbered)
    most = max(int(array.max()) for array in numbered)
    return 1 if least >= 1 and (most == count or (most < count and habit == 1)) else 0


def _check_rows(members: Int64[np.ndarray, " _"], array: np.ndarray, what: str, count: int) -> None:
    outside = (members < 0) | (members >= count)
    if outside.any():
        raise MtlError(
            f"{what} should hold numbers of rows from 0 to {count - 1}, found "
            f"{array[outside][0]}: correct it, or leave it out with suite.split= (empty)"
        )
    if len(np.unique(members)) < len(members):
        raise MtlError(
            f"{what} names rows twice: save numpy.unique of it, or leave it out with "
            "suite.split= (empty)"
        )
