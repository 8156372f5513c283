"""Labels in a file become targets: classes, binary attributes, or numbers."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from mtl_framework import MtlError
from mtl_framework.data import Binary, Classification, Objective, Regression, Task

from .faults import listed
from .kinds import as_classes, is_whole
from .options import Kind, counted, option

#: A label is an outlier if it is more than so many interquartile ranges from the median.
OUTLIER = 20


def make_targets(
    values: Shaped[np.ndarray, "rows *numbers"],
    kind: Kind,
    names: Sequence[str] = (),
    order: Sequence[str] = (),
) -> tuple[Objective, Tensor]:
    """Return the objective that fits the values, and its targets.

    Classes are numbered from 0 in the order of their values. If all values are positions in
    ``names``, classes get these names; otherwise their values are their names.

    Args:
        values: labels of all splits together, so that all splits have the same classes.
        kind: whether labels are classes, binary or numbers.
        names: names of the classes 0, 1, ...; there may be more names than classes that occur.
        order: names of the classes in their order, if that is not the order of their values.

    Raises:
        MtlError: if the values are not of that kind.
    """
    if kind == "numbers":
        if values.dtype.kind not in "fiub":
            raise MtlError(f"numbers are expected, found {values.dtype} ({values.flat[0]!s})")
        numbers = values.reshape(len(values), -1)
        if np.abs(numbers.astype(np.float64)).max(initial=0) > np.finfo(np.float32).max:
            raise MtlError("numbers beyond the range of single precision: scale them down")
        return Regression(numbers.shape[1]), torch.from_numpy(numbers.astype(np.float32))
    if values.ndim > 1 or values.dtype.kind not in "iubU":
        raise MtlError(
            f"labels should be whole numbers or texts, one a row, found {values.dtype} of shape "
            f"{values.shape}"
        )
    classes, codes = np.unique(values, return_inverse=True)
    if order:
        place = np.array([order.index(str(value)) for value in classes])
        classes, codes = np.array(order), place[codes.reshape(-1)]
    targets = torch.from_numpy(codes.reshape(-1).astype(np.int64))
    if kind == "binary":
        if values.dtype.kind == "U" or not set(classes.tolist()) <= {0, 1}:
            found = ", ".join(map(str, classes[:5]))
            raise MtlError(f"binary labels should be 0 or 1, found {found}")
        return Binary(), torch.from_numpy(values.astype(np.int64))
    if len(classes) < 2:
        raise MtlError(f"there should be at least 2 classes, and all labels are {classes[0]!s}")
    return Classification(len(classes), tuple(called_by(classes, names))), targets


def called_by(values: Shaped[np.ndarray, " values"], names: Sequence[str]) -> list[str]:
    """Return what values are called: by ``names`` if all are positions in it, else as they are."""
    whole = values.dtype.kind in "iu" and bool((values >= 0).all() and (values < len(names)).all())
    return [names[int(value)] if whole else str(value) for value in values]


def class_order(classes: Shaped[np.ndarray, " classes"]) -> list[str]:
    """Return the names of classes in order: whole numbers by value, texts by the alphabet."""
    names = as_classes([str(value) for value in classes])
    return sorted(names, key=int) if is_whole(names) else sorted(names)


def summary(
    task: str,
    kind: Kind,
    values: Shaped[np.ndarray, "rows *numbers"],
    missing: int,
    names: Sequence[str] = (),
) -> str:
    """Return a line on a task: kind, classes or range, number of labelled and of missing rows.

    Args:
        task: name of the task.
        kind: whether labels are classes, binary or numbers.
        values: the labels that are not missing.
        missing: number of rows without a label.
        names: names of the classes 0, 1, ..., if they have names.
    """
    if kind == "classes":
        order = class_order(np.unique(values))
        if names:
            order = called_by(np.unique(values), names)
        what = f"{counted(len(order), 'class')} ({listed(order)})"
    elif kind == "binary":
        what = f"{int((values == 1).sum())} of 1, {int((values == 0).sum())} of 0"
    elif not values.size:
        what = "none"
    elif values.dtype.kind not in "fiub":
        what = f"e.g. {values.flat[0]}"
    else:
        ends = [f"{end:g}" for end in (values.min(), values.max())]
        if ends[0] == ends[1] and values.min() != values.max():
            ends = [f"{end:.12g}" for end in (values.min(), values.max())]
        what = f"{ends[0]} to {ends[1]}"
    return f"{task}: {kind}, {what}, {len(values)} labelled, {missing} missing"


def scale_hints(task: str, values: Shaped[np.ndarray, "rows *numbers"]) -> list[str]:
    """Return lines on numbers that are hard to predict: constants, outliers, times, rounding."""
    rows = values.reshape(len(values), -1).astype(np.float64)
    hints = []
    for n, column in enumerate(rows.T):
        name = task if rows.shape[1] == 1 else f"{task}, number {n}"
        spread = column.std()
        if spread == 0:
            hints.append(f"{name}: all labels are {column[0]:g}: there is nothing to learn")
            continue
        middle = np.median(column)
        quarters = np.subtract(*np.quantile(column, [0.75, 0.25]))
        far = column[np.abs(column - middle) > OUTLIER * quarters] if quarters else column[:0]
        if len(far):
            worst = far[np.argmax(np.abs(far - middle))]
            hints.append(
                f"{name}: {counted(len(far), 'label')} far from all others, e.g. {worst:g} where "
                f"half are within {quarters:g} of {middle:g}; the loss will be theirs"
            )
            if len(far) > 1 and len(np.unique(far)) == 1:
                way = option("missing", task, f"{worst:g}")
                hints[-1] += f". Where {worst:g} means no label: {way}"
        with np.errstate(over="ignore"):
            single = len(np.unique(column.astype(np.float32)))
            lost = np.spacing(np.float32(middle)) > spread / 100
        if single < len(np.unique(column)) and lost:
            hints.append(
                f"{name}: single precision rounds numbers near {middle:.12g} to "
                f"{np.spacing(np.float32(middle)):g}, and they differ by {spread:g}: subtract "
                f"{column.min():.12g}"
            )
        elif spread < np.finfo(np.float32).tiny * 1e6:
            hints.append(f"{name}: numbers differ by {spread:g}, too little for single precision")
        low, high = column.min(), column.max()
        if any(1e8 * unit <= low and high <= 5e9 * unit for unit in (1, 1e3, 1e6, 1e9)):
            hints.append(
                f"{name}: {low:.0f} to {high:.0f} look like times since 1970, not measures"
            )
    return hints


def standardized(tasks: Sequence[Task]) -> dict[str, dict[str, list[float]]]:
    """Return mean and deviation of tasks whose targets are standardised, for a run's record."""
    return {
        task.name: {
            "mean": list(task.objective.means),
            "deviation": list(task.objective.deviations),
        }
        for task in tasks
        if isinstance(task.objective, Regression) and task.objective.means
    }
