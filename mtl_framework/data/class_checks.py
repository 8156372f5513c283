"""Classes that cannot be learned or measured: in one split only, or too rare to be divided."""

from collections.abc import Mapping
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
) -> dict[str | None, Int64[np.ndarray, " _"]]:
    """The rows whose class is in training and in test, where those are given."""
    given = [split for split in ("train", "test") if split in rows]
    present = labels[np.concatenate(list(rows.values()))]
    lost: list[Any] = []
    for split in given:
        lacking = np.setdiff1d(present, labels[rows[split]])
        for label in lacking:
            count = int((present == label).sum())
            faults.add(where, f"class {str(label)!r} ({count} examples) is not in {split}")
        lost += lacking.tolist()
    return {split: found[~np.isin(labels[found], lost)] for split, found in rows.items()}


def frequent_classes(
    rows: Mapping[str | None, Int64[np.ndarray, " _"]],
    labels: np.ndarray,
    sizes: SplitSizes,
    where: str,
    faults: Faults,
) -> dict[str | None, Int64[np.ndarray, " _"]]:
    """The rows whose class has enough of them to be in every split that is made here."""
    made = [split for split in ("validation", "test") if split not in rows]
    if not sizes.validation:
        made = [split for split in made if split != "validation"]
    pool = rows[None] if None in rows else rows["train"]
    classes, counts = np.unique(labels[pool], return_counts=True)
    rare = classes[counts <= len(made)] if made else classes[:0]
    for label, count in zip(classes, counts, strict=True):
        if label in rare:
            faults.add(
                where,
                f"class {str(label)!r} has {count} examples, too few to be divided into "
                f"{' and '.join(['train', *made])}",
            )
    return {split: found[~np.isin(labels[found], rare)] for split, found in rows.items()}
