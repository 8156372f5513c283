"""Classes that cannot be learned or measured: in one split only, or too rare to be divided."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Int64

from .faults import Faults
from .splits import SplitSizes


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
            faults.add(where, f"class {str(label)!r} is not in {split} ({what})")
        lost += lacking.tolist()
    return {split: found[~np.isin(labels[found], lost)] for split, found in rows.items()}


def frequent_classes(
    rows: Mapping[str | None, Int64[np.ndarray, " _"]],
    labels: np.ndarray,
    sizes: SplitSizes,
    where: str,
    faults: Faults,
    name: Callable[[int], str],
) -> dict[str | None, Int64[np.ndarray, " _"]]:
    """The rows whose class has enough of them to be in every split that is made here.

    Arguments are those of :func:`common_classes`; ``sizes``: of the splits.
    """
    made = [split for split in ("validation", "test") if split not in rows]
    if not sizes.validation:
        made = [split for split in made if split != "validation"]
    pool = rows[None] if None in rows else rows["train"]
    classes, counts = np.unique(labels[pool], return_counts=True)
    rare = classes[counts <= len(made)] if made else classes[:0]
    for label, count in zip(classes, counts, strict=True):
        if label in rare:
            first = name(int(pool[labels[pool] == label][0]))
            faults.add(
                where,
                f"class {str(label)!r} has {_examples(int(count))}, too few to be divided into "
                f"{' and '.join(['train', *made])} (the first is {first})",
            )
    return {split: found[~np.isin(labels[found], rare)] for split, found in rows.items()}


def _examples(count: int) -> str:
    return f"{count} example" if count == 1 else f"{count} examples"
