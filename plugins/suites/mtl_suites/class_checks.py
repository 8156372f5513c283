"""Classes that are in one split only, or too rare to be divided, cannot be learned or measured."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from mtl_framework import MtlError
from mtl_framework.data import SPLITS, SplitSizes

from .class_hints import looks, told_apart
from .faults import Faults, listed
from .options import counted, option

#: Classes with fewer examples are named before training.
RARE = 10


def common_classes(
    rows: Mapping[str | None, Int64[np.ndarray, " _"]],
    labels: np.ndarray,
    where: str,
    faults: Faults,
    name: Callable[[int], str],
) -> dict[str | None, Int64[np.ndarray, " _"]]:
    """Return the rows whose class is in the training and the test split, if these are given.

    Args:
        rows: rows of every split, and under ``None`` those that are in none yet.
        labels: label of every row.
        where: file or folder, and task, for messages.
        faults: the collection that gets the classes which are in one of both only.
        name: function that says what a row is called in messages.
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
    """Return the end of a message that names a class of another split that looks the same."""
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
    """Return the rows whose class has enough rows to be in training and in test.

    Args:
        rows: rows of every split, and under ``None`` those that are in none yet.
        labels: label of every row.
        sizes: sizes of the splits, which say whether there is a validation split.
        where: file or folder, and task, for messages.
        faults: the collection that gets the classes which are too rare.
        name: function that says what a row is called in messages.
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


def too_rare(
    task: str,
    values: np.ndarray,
    known: Bool[np.ndarray, " rows"],
    members: Mapping[str, Int64[np.ndarray, " _"]],
    places: Sequence[str],
) -> tuple[Bool[np.ndarray, " rows"], str]:
    """Return the rows of classes with one row or two that training or test lacks, and why.

    Args:
        task: name of the column.
        values: text or number of every row.
        known: whether a row has a value.
        members: rows of every split.
        places: what every row is called in messages.

    Returns:
        a mask of these rows, and a text that is empty if there are none.
    """
    rows = np.concatenate(list(members.values()))
    rows = rows[known[rows]]
    classes, counts = np.unique(values[rows], return_counts=True)
    here = {split: values[found[known[found]]] for split, found in members.items()}
    lost = (counts < len(SPLITS)) & ~(
        np.isin(classes, here["train"]) & np.isin(classes, here["test"])
    )
    mask = known & np.isin(values, classes[lost])
    if not lost.any():
        return mask, ""
    names = [str(value) for value in classes[lost]]
    amount = "a single row" if counts[lost].max() == 1 else "one row or two"
    where = [
        f"{lacking} not in {split}"
        for split in ("train", "test")
        if (lacking := int((~np.isin(classes[lost], here[split])).sum()))
    ]
    remedy = f"give {'it' if len(names) == 1 else 'them'} more rows"
    if 2 * len(names) > len(classes):
        remedy = "leave the column out (suite.tasks names those to take)"
        if all(name[:1].isdigit() for name in names):
            remedy += f", or write numbers (then {option('kinds', task, 'numbers')})"
    have = "has" if len(names) == 1 else "have"
    return mask, (
        f"{len(names)} of {counted(len(classes), 'class')} {have} {amount}, too few to be in "
        f"training and test ({', '.join(where)}): {listed(names)} (the first is "
        f"{places[int(rows[mask[rows]].min())]}): {remedy}"
    )


def rare_classes(
    task: str,
    labels: Int64[np.ndarray, " rows"],
    names: Sequence[str],
    members: Mapping[str, Int64[np.ndarray, " _"]],
) -> list[str]:
    """Return a line that names a task's classes with few examples, or none if all have enough.

    Args:
        task: name of the task.
        labels: number of every row's class; -1 for rows without one.
        names: names of the classes, in the order of their numbers.
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
    """Refuse labels unless every class is in the training split and in the test split.

    Args:
        labels: labels of every split.

    Raises:
        MtlError: if a split lacks classes; the message names both.
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
