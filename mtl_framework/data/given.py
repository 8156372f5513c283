"""Tasks are made from the labels that a program holds, and suites from its arrays."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from ..support.errors import MtlError, UnknownNameError
from .copies import copies_notes
from .examples import SPLITS, Examples
from .given_inputs import Reading
from .given_labels import GivenLabels, marked_notes, unlearned_notes
from .objectives import Binary, Classification, Objective, Regression
from .pictures import DEFAULT, PictureOptions
from .streaming import LazyInputs

Kind = Literal["classes", "binary", "numbers"]
KINDS: tuple[Kind, ...] = ("classes", "binary", "numbers")
_ROWS_A_CLASS, _FEW = 2, 9


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
    """A task before it is one: its name, objective and splits, and lines for the user."""

    name: str
    objective: Objective
    splits: Mapping[str, Examples]
    pictures: PictureOptions = DEFAULT
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class GivenSuite:
    """A suite before it is one: its tasks, whether they read one common input, and hints."""

    tasks: Sequence[GivenTask]
    common_input: bool = False
    notes: Sequence[str] = ()


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
    notes: list[str] = []
    if not isinstance(objective, Regression):
        codes = {
            split: examples.targets if examples.labelled is None else
            examples.targets[examples.labelled] for split, examples in splits.items()
        }  # fmt: skip
        names = objective.class_names if isinstance(objective, Classification) else ()
        notes = unlearned_notes(name, codes, names)
    return GivenTask(name, objective, splits, notes=notes)


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


def suite_from_arrays(
    tasks: Mapping[str, Sequence[Any]], kinds: Mapping[str, Any], reading: Reading
) -> GivenSuite:
    """Make a suite of arrays or tensors, see :meth:`Suite.from_arrays`."""
    check_tasks(tasks)
    check_kinds(kinds, tasks)
    tensors: dict[int, Tensor] = {}  # tasks that hold the same array read one tensor
    made, sources, notes = [], [], []
    for task, splits in tasks.items():
        parts, labels, hints = {}, [], []
        for split, pair in three_splits(task, splits).items():
            where = f"task {task!r}, {split} split"
            if not isinstance(pair, Sequence) or len(pair) != 2:
                raise MtlError(f"{where} should be a pair of inputs and labels")
            if id(pair[0]) not in tensors:
                tensors[id(pair[0])], lines = reading.read(pair[0], where)
                hints.append(lines)
            inputs = tensors[id(pair[0])]
            labels.append(GivenLabels.of(pair[1], where))
            parts[split] = Part(inputs, labels[-1].values, labels[-1].present)
        notes += [*next(filter(None, hints), []), *marked_notes(task, labels)]
        sources.append([id(part.inputs) for part in parts.values()])
        done = make_task(task, parts, kinds.get(task), f"task {task!r}")
        made.append(replace(done, pictures=reading.pictures))
        notes += done.notes
        if sources[-1] not in sources[:-1]:
            notes += copies_notes(task, made[-1].splits)
    common = len(made) > 1 and all(source == sources[0] for source in sources)
    return GivenSuite(made, common, notes)


def three_splits(task: str, given: Any) -> dict[str, Any]:
    """Return the splits by name; validation may be ``None`` or left out."""
    given = tuple(given) if isinstance(given, Sequence) else ()
    if len(given) not in (2, 3):
        raise MtlError(
            f"task {task!r} should have (train, validation, test), or (train, test); validation "
            "may be None"
        )
    names = SPLITS if len(given) == 3 else ("train", "test")
    return {split: value for split, value in zip(names, given, strict=True) if value is not None}


def check_tasks(tasks: Any) -> None:
    """Refuse tasks that are no mapping of names to their data.

    Raises:
        MtlError: naming what was found.
    """
    if not isinstance(tasks, Mapping):
        raise MtlError(
            f"tasks should be a mapping of each task's name to its data, found {named_type(tasks)}"
        )
    check_names(tasks, "a task's")


def check_names(names: Iterable[Any], whose: str) -> None:
    """Refuse names that are no text.

    Raises:
        MtlError: naming it.
    """
    for name in names:
        if not isinstance(name, str):
            raise MtlError(f"{whose} name should be a text, found {name!r} ({named_type(name)})")


def named_type(value: Any) -> str:
    """Return the name of a value's type, for messages."""
    return "None" if value is None else type(value).__name__


def check_kinds(kinds: Any, tasks: Collection[str]) -> None:
    """Refuse kinds of tasks that there are not, and kinds that there are not.

    Raises:
        MtlError: if kinds are no mapping.
        UnknownNameError: naming it and the nearest.
    """
    if not isinstance(kinds, Mapping):
        raise MtlError(
            "kinds should be a mapping of tasks' names to 'classes', 'binary' or 'numbers', found "
            f"{named_type(kinds)}"
        )
    for task, kind in kinds.items():
        if task not in tasks:
            raise UnknownNameError("task in kinds", task, list(tasks))
        if kind not in KINDS:
            raise UnknownNameError(f"kind of task {task!r}", str(kind), KINDS)
