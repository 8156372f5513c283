"""Classes that cannot be learned or measured: in one split only, or too rare to be divided."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped

from mtl_framework import MtlError
from mtl_framework.data import SplitSizes

from .class_hints import looks, told_apart
from .faults import Faults, listed

#: Examples below which a class is named before training.
RARE = 10


def common_classes(
    rows: Mapping[str | None, Int64[np.ndarray, " _"]],
    labels: np.ndarray,
    where: str,
    faults: Faults,
    name: Callable[[int], str],
) -> dict[str | None, Int64[np.ndarray, " _"]]:
    """The rows whose class is in training and in test, where those are given.

    Args:
        rows: by split, under ``None`` those of none.
        labels: of all rows.
        where: file or folder, and task, for messages.
        faults: gets the classes that are not.
        name: what to call a row in messages.
    """
    given = [split for split in ("train", "test") if split in rows]
    everywhere = np.concatenate(list(rows.values()))
    present = labels[everywhere]
    lost: list[Any] = []
    for split in given:
        lacking = np.setdiff1d(present, labels[rows[split]])
        for label in lacking:
            members = everywhere[present == label]
            what = f"{_examples(len(members))}, the first is {name(int(members[0]))}"
            other = _called_else(str(label), np.unique(labels[rows[split]]))
            faults.add(where, f"class {str(label)!r} is not in {split} ({what}){other}")
        lost += lacking.tolist()
    return {split: found[~np.isin(labels[found], lost)] for split, found in rows.items()}


def _called_else(name: str, others: np.ndarray) -> str:
    """Which class of another split seems to be the same, if one does."""
    alike = [str(other) for other in others if looks(str(other)) == looks(name)]
    if not alike:
        return ""
    one, other = told_apart([name, alike[0]])
    return f", which has {other}, and here it is {one}: give them one name"


def frequent_classes(
    rows: Mapping[str | None, Int64[np.ndarray, " _"]],
    labels: np.ndarray,
    sizes: SplitSizes,
    where: str,
    faults: Faults,
    name: Callable[[int], str],
) -> dict[str | None, Int64[np.ndarray, " _"]]:
    """The rows whose class has enough of them to be in training and in test.

    Arguments are those of :func:`common_classes`; ``sizes``: of the splits.
    """
    made = [split for split in ("validation", "test") if split not in rows]
    if not sizes.validation:
        made = [split for split in made if split != "validation"]
    pool = rows[None] if None in rows else rows["train"]
    classes, counts = np.unique(labels[pool], return_counts=True)
    rare = classes[counts < 2] if made else classes[:0]
    for label, count in zip(classes, counts, strict=True):
        if label in rare:
            first = name(int(pool[labels[pool] == label][0]))
            faults.add(
                where,
                f"class {str(label)!r} has {_examples(int(count))}, too few to be divided into "
                f"{' and '.join(['train', *made])} (the first is {first})",
            )
    return {split: found[~np.isin(labels[found], rare)] for split, found in rows.items()}


def rare_classes(
    task: str,
    labels: Int64[np.ndarray, " rows"],
    names: Sequence[str],
    members: Mapping[str, Int64[np.ndarray, " _"]],
) -> list[str]:
    """One line that names a task's classes with few examples, and where these are; or none.

    Args:
        task: its name.
        labels: number of every row's class, -1 where there is none.
        names: of the classes, by number.
        members: rows of every split.
    """
    counts = {
        split: np.bincount(labels[rows][labels[rows] >= 0], minlength=len(names))
        for split, rows in members.items()
    }
    total = sum(counts.values())
    texts = [
        f"{names[n]!r} ({', '.join(f'{counts[split][n]} in {split}' for split in counts)})"
        for n in np.flatnonzero((total > 0) & (total < RARE)).tolist()
    ]
    return [f"{task}: few examples of {listed(texts)}"] if texts else []


def _examples(count: int) -> str:
    return f"{count} example" if count == 1 else f"{count} examples"


def check_classes(labels: Mapping[str, Shaped[np.ndarray, " _"]]) -> None:
    """Every class should be in the training split and in the test split.

    Args:
        labels: by split.

    Raises:
        MtlError: naming the classes and the split that lacks them.
    """
    classes = {split: set(np.unique(found).tolist()) for split, found in labels.items()}
    everything = sorted(set().union(*classes.values()))
    lacking = {
        split: [str(name) for name in everything if name not in classes[split]]
        for split in ("train", "test")
    }
    texts = [f"{', '.join(names)} not in {split}" for split, names in lacking.items() if names]
    if texts:
        raise MtlError(f"every class should be in train and test, but {'; '.join(texts)}")
