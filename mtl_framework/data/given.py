"""Suites are made from torch data sets, arrays and data frames that a program holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from ..support.errors import MtlError, UnknownNameError
from .examples import SPLITS, Examples
from .objectives import Binary, Classification, Objective, Regression
from .streaming import LazyInputs

Kind = Literal["classes", "binary", "numbers"]
KINDS: tuple[Kind, ...] = ("classes", "binary", "numbers")
#: Images of data sets are read into memory up to so many bytes together, beyond that when needed.
MOST_READ = 2**30
_ROWS_A_CLASS, _FEW = 2, 9
_PEEKED = 4  # items that are read twice, to see whether they are the same


def guess_kind(values: Shaped[np.ndarray, "rows *numbers"]) -> Kind:
    """Decide whether labels are classes or numbers, where nobody says so.

    They are numbers where they are floats, or several a row. Whole numbers are classes, unless
    there are more than nine different ones and a class has fewer than two rows on average. Texts
    and booleans are classes.
    """
    if values.ndim > 1 or values.dtype.kind == "f":
        return "numbers"
    different = len(np.unique(values)) if values.dtype.kind in "iu" else 0
    return "numbers" if different > _FEW and len(values) < _ROWS_A_CLASS * different else "classes"


@dataclass(frozen=True)
class Part:
    """One split of a task: inputs, labels, and which rows have one (``None``: all)."""

    inputs: Tensor | LazyInputs
    labels: Shaped[np.ndarray, "rows *numbers"]
    present: Bool[np.ndarray, " rows"] | None = None
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class GivenTask:
    """A task before it is one: its name, objective and splits."""

    name: str
    objective: Objective
    splits: Mapping[str, Examples]


@dataclass(frozen=True)
class GivenSuite:
    """A suite before it is one: its tasks, and whether they read one common input."""

    tasks: Sequence[GivenTask]
    common_input: bool = False


def make_task(name: str, parts: Mapping[str, Part], kind: Kind | None, where: str) -> GivenTask:
    """Make a task of the inputs and labels of its splits.

    Raises:
        MtlError: naming task and split, what was found and what is allowed.
    """
    known = [p.labels if p.present is None else p.labels[p.present] for p in parts.values()]
    for split, labels in zip(parts, known, strict=True):
        if not len(labels):
            raise MtlError(f"{where}, {split} split: there is no label")
    try:
        everything = np.concatenate(known)
    except ValueError as error:
        raise MtlError(f"{where}: labels of the splits differ in shape") from error
    kind = kind or guess_kind(everything)
    objective, code = _objective(kind, everything, known[0], parts["train"].classes, where)
    splits = {}
    for split, part in parts.items():
        filled = part.labels
        if part.present is not None:
            filled = filled.copy()
            filled[~part.present] = part.labels[part.present][0]
        mask = None if part.present is None else torch.from_numpy(part.present)
        splits[split] = Examples(part.inputs, code(filled), mask)
    return GivenTask(name, objective, splits)


def _objective(
    kind: Kind, labels: np.ndarray, train: np.ndarray, classes: tuple[str, ...], where: str
) -> tuple[Objective, Any]:
    """Return the objective, and a function that turns labels into targets."""
    if kind == "numbers":
        if labels.dtype.kind not in "fiub":
            raise MtlError(
                f"{where}: labels of kind 'numbers' should have a numeric dtype, found "
                f"{labels.dtype}"
            )
        targets = torch.from_numpy(train.astype(np.float32))
        return Regression.standardized(targets), lambda x: torch.from_numpy(x.astype(np.float32))
    if kind == "binary":
        different = np.unique(labels)
        if not np.isin(different, [0, 1]).all():
            raise MtlError(
                f"{where}: binary labels should be 0 or 1, found {different[:5].tolist()}"
            )
        return Binary(), lambda x: torch.from_numpy(x.astype(np.int64))
    if labels.ndim > 1:
        raise MtlError(f"{where}: classes should be one a row, found shape {labels.shape}")
    different = np.unique(labels)
    counts = labels.dtype.kind in "iu" and different[0] >= 0
    if classes and counts and different[-1] < len(classes):
        names, values = classes, np.arange(len(classes))
    else:
        names, values = tuple(str(value) for value in different), different
    if len(names) < 2:
        raise MtlError(f"{where}: there should be two classes or more, found {list(names)}")
    return (
        Classification(len(names), names if len(set(names)) == len(names) else ()),
        lambda x: torch.from_numpy(np.searchsorted(values, x).astype(np.int64)),
    )


def suite_from_datasets(tasks: Mapping[str, Sequence[Any]], kinds: Mapping[str, Any]) -> GivenSuite:
    """Make a suite of torch data sets, see :meth:`Suite.from_datasets`."""
    _check_kinds(kinds, tasks)
    made = []
    for task, datasets in tasks.items():
        parts = {
            split: _read(dataset, f"task {task!r}, {split} split")
            for split, dataset in _three(task, datasets).items()
        }
        made.append(make_task(task, parts, kinds.get(task), f"task {task!r}"))
    return GivenSuite(made)


def suite_from_arrays(tasks: Mapping[str, Sequence[Any]], kinds: Mapping[str, Any]) -> GivenSuite:
    """Make a suite of arrays or tensors, see :meth:`Suite.from_arrays`."""
    _check_kinds(kinds, tasks)
    tensors: dict[int, Tensor] = {}  # tasks that hold the same array read one tensor
    made, sources = [], []
    for task, splits in tasks.items():
        parts = {}
        for split, pair in _three(task, splits).items():
            where = f"task {task!r}, {split} split"
            if not isinstance(pair, Sequence) or len(pair) != 2:
                raise MtlError(f"{where} should be a pair of inputs and labels")
            inputs = tensors.setdefault(id(pair[0]), _inputs(pair[0], where))
            labels = _labels(pair[1])
            present = (
                ~np.isnan(labels.reshape(len(labels), -1)).any(1)
                if labels.dtype.kind == "f"
                else np.ones(len(labels), bool)
            )
            parts[split] = Part(inputs, labels, None if present.all() else present)
        sources.append([id(part.inputs) for part in parts.values()])
        made.append(make_task(task, parts, kinds.get(task), f"task {task!r}"))
    common = len(made) > 1 and all(source == sources[0] for source in sources)
    return GivenSuite(made, common)


def suite_from_frame(
    frame: Any,
    tasks: Sequence[str],
    inputs: Any,
    split: str | None,
    kinds: Mapping[str, Any],
    seed: int,
) -> GivenSuite:
    """Make a suite of a data frame, see :meth:`Suite.from_frame`."""
    columns = [str(column) for column in frame.columns]
    named = isinstance(inputs, Sequence)
    for column in (*tasks, *(inputs if named else ()), *((split,) if split else ())):
        if column not in columns:
            raise UnknownNameError("column of the frame", column, columns)
    _check_kinds(kinds, tasks)
    rows = _inputs(frame[list(inputs)].to_numpy(np.float32) if named else inputs, "inputs")
    if len(rows) != len(frame):
        raise MtlError(
            f"inputs should have a row for each of the frame's {len(frame)}, found {len(rows)}"
        )
    members = _members(frame, split, seed)
    parts = {part: rows[torch.from_numpy(numbers)] for part, numbers in members.items()}
    made = []
    for task in tasks:
        column = frame[task]
        present = column.notna().to_numpy(bool)
        values = column[present].to_numpy()
        if values.dtype.kind not in "fiub":
            values = values.astype(str)
        elif values.dtype.kind == "f" and not present.all() and (values == np.round(values)).all():
            values = values.astype(np.int64)  # pandas makes floats of whole numbers with gaps
        labels: np.ndarray = np.zeros(len(frame), values.dtype)
        labels[present] = values
        of = {
            part: Part(
                parts[part],
                labels[numbers],
                None if present[numbers].all() else present[numbers],
            )
            for part, numbers in members.items()
        }
        made.append(make_task(task, of, kinds.get(task), f"column {task!r}"))
    return GivenSuite(made, True)


def _members(frame: Any, split: str | None, seed: int) -> dict[str, np.ndarray]:
    """Return the row numbers of every split."""
    if split is None:
        from sklearn.model_selection import train_test_split  # which takes a while to import

        rest, test = train_test_split(np.arange(len(frame)), test_size=0.2, random_state=seed)
        train, validation = train_test_split(rest, test_size=0.25, random_state=seed)
        made = {"train": train, "validation": validation, "test": test}
        return {name: np.sort(rows) for name, rows in made.items()}
    names = frame[split].astype(str).to_numpy()
    for name in np.unique(names):
        if name not in SPLITS:
            raise UnknownNameError(f"split in column {split!r}", str(name), SPLITS)
    rows_by_split = {
        name: np.flatnonzero(names == name) for name in SPLITS if (names == name).any()
    }
    for name in ("train", "test"):
        if name not in rows_by_split:
            raise MtlError(f"column {split!r} names no row {name!r}")
    return rows_by_split


def _three(task: str, given: Any) -> dict[str, Any]:
    """Name the splits of a pair or triple; validation may be ``None`` or left out."""
    given = tuple(given) if isinstance(given, Sequence) else ()
    if len(given) not in (2, 3):
        raise MtlError(
            f"task {task!r} should have (train, validation, test), or (train, test); validation "
            "may be None"
        )
    names = SPLITS if len(given) == 3 else ("train", "test")
    return {split: value for split, value in zip(names, given, strict=True) if value is not None}


def _check_kinds(kinds: Mapping[str, Any], tasks: Any) -> None:
    for task, kind in kinds.items():
        if task not in tasks:
            raise UnknownNameError("task in kinds", task, list(tasks))
        if kind not in KINDS:
            raise UnknownNameError(f"kind of task {task!r}", str(kind), KINDS)


def _inputs(values: Any, where: str) -> Tensor:
    tensor = values if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    if tensor.dtype == torch.float64:
        tensor = tensor.float()
    if tensor.ndim < 2 or tensor.is_complex() or tensor.dtype == torch.bool:
        raise MtlError(
            f"{where}: inputs should be (N, ...): images (N, C, H, W) of uint8 or floats, or "
            f"features; found {tensor.dtype} of shape {tuple(tensor.shape)}"
        )
    return tensor


def _labels(values: Any) -> np.ndarray:
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.dtype.kind == "O":
        array = array.astype(str)
    return array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array


def _read(dataset: Any, where: str) -> Part:
    """Read the inputs and labels of all items of a data set."""
    count = len(dataset)
    if not count:
        raise MtlError(f"{where}: the data set has no item")
    for row in range(min(_PEEKED, count)):
        first, second = (_item(dataset, row, where)[0] for _ in range(2))
        if first.shape != second.shape or not torch.equal(first, second):
            raise MtlError(
                f"{where}: item {row} has different inputs each time that it is read, as "
                "with random "
                "transforms: leave them out of the data set and set them at augmentation.all"
            )
    items = (_item(dataset, row, where) for row in range(count))
    image = _item(dataset, 0, where)[0]
    kept = image.dtype != torch.uint8 or count * image.numel() <= MOST_READ
    inputs: list[Tensor | None] = []
    labels: list[Any] = []
    for tensor, label in items:
        if tensor.shape != image.shape or tensor.dtype != image.dtype:
            raise MtlError(
                f"{where}: item {len(labels)} has inputs {tensor.dtype} of shape "
                f"{tuple(tensor.shape)}, the first one {image.dtype} of {tuple(image.shape)}"
            )
        inputs.append(tensor if kept else None)
        labels.append(label)
    held: Tensor | LazyInputs
    if kept:
        held = torch.stack([tensor for tensor in inputs if tensor is not None])
    else:
        held = LazyInputs(range(count), tuple(image.shape), _Reading(dataset, where))
    names = tuple(map(str, getattr(dataset, "classes", None) or ()))
    return Part(held, _labels(np.asarray(labels)), classes=names)


class _Reading:
    """Reads one image of a data set; worker processes hold a copy."""

    def __init__(self, dataset: Any, where: str) -> None:
        self._dataset, self._where = dataset, where

    def __call__(self, row: int) -> Tensor:
        return _item(self._dataset, row, self._where)[0]


def _item(dataset: Any, row: int, where: str) -> tuple[Tensor, Any]:
    """Return input and label of an item; a Pillow image becomes uint8 (C, H, W)."""
    item = dataset[row]
    if not isinstance(item, Sequence) or len(item) != 2:
        raise MtlError(f"{where}: item {row} should be a pair of input and label")
    value, label = item
    if hasattr(value, "getbands"):
        if value.mode not in ("L", "RGB"):
            raise MtlError(f"{where}: picture {row} has mode {value.mode}, should be L or RGB")
        array = np.array(value, dtype=np.uint8)
        tensor = torch.from_numpy(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1).contiguous()
    else:
        tensor = torch.as_tensor(value)
        tensor = tensor.float() if tensor.dtype == torch.float64 else tensor
    return tensor, label.detach().cpu().numpy() if isinstance(label, Tensor) else label
